//! When a sender that is refused for want of room stops trying.
use super::Scene;
use gds_core::time::MILLISECOND_NS;
use gds_wire::session::Session;

/// How long, without a break, there must be no place for it. What has been numbered and not been shown yet may still let it in.
const PATIENCE_NS: u64 = 300 * MILLISECOND_NS;

/// The patience of one sender.
#[derive(Debug, Default)]
pub struct Patience {
    refused: bool,
    hopeless_since_ns: Option<u64>,
    lost: bool,
}

impl Patience {
    /// It was told that there are too many sessions.
    pub fn refuse(&mut self) {
        self.refused = true;
    }

    /// Something of it was taken.
    pub fn let_in(&mut self) {
        (self.refused, self.hopeless_since_ns) = (false, None);
    }

    /// Whether it has given up.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Gives up where there is no place for this session, and will be none: nothing goes wrong any more.
    pub fn try_on(&mut self, session: &Session, scene: &Scene<'_>) {
        let sessions = scene.truth.model().sessions();
        let hopeless = scene.calm && self.refused && sessions.is_full() && !sessions.knows(session);
        if !hopeless {
            self.hopeless_since_ns = None;
            return;
        }
        let now_ns = scene.now.monotonic_ns;
        let since_ns = *self.hopeless_since_ns.get_or_insert(now_ns);
        self.lost |= now_ns - since_ns > PATIENCE_NS;
    }
}
