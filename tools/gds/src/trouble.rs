//! What troubles a process while it runs, told as it comes and goes.
use serde_json::json;
use std::time::Duration;

/// How often a process is asked whether all is well.
pub const TROUBLE_LOOK: Duration = Duration::from_secs(1);

/// Tells each trouble once, and that it is over.
pub struct Told {
    json: bool,
    last: String,
}

impl Told {
    /// Nothing yet; `json`: one object a line.
    pub fn new(json: bool) -> Self {
        Self { json, last: String::new() }
    }

    /// This is wrong now; empty: nothing is.
    pub fn tell(&mut self, trouble: &str) {
        if trouble == self.last {
            return;
        }
        match (self.json, trouble.is_empty()) {
            (true, _) => println!("{}", json!({ "trouble": trouble })),
            (false, false) => println!("! {trouble}"),
            (false, true) => println!("all is well again"),
        }
        trouble.clone_into(&mut self.last);
    }
}
