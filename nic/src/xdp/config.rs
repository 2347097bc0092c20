//! What a queue is opened with.
use std::fmt;
use std::str::FromStr;

/// How packets get from the NIC to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// The first of the others that this driver has.
    #[default]
    Auto,
    /// The driver runs the program and reads and writes the frames itself.
    ZeroCopy,
    /// The driver runs the program; the kernel copies.
    Native,
    /// The kernel runs the program, on any interface, at the cost of a packet of its own for each.
    ///
    /// Not between virtual interfaces of one machine whose other end sends bursts: those cross in one piece, cut up nowhere, and look
    /// like one long datagram. There `ethtool -K PEER tx-udp-segmentation off` on the other end, or no bursts.
    Generic,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::ZeroCopy => "zero_copy",
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

impl FromStr for XdpMode {
    type Err = String;

    /// `auto`, `zero_copy`, `native` or `generic`.
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Auto, Self::ZeroCopy, Self::Native, Self::Generic]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| format!("mode \"{text}\": expected auto, zero_copy, native or generic"))
    }
}

/// Everything a queue is opened with; all ports of a process on one queue have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpConfig {
    /// The receive queue of the interface, which must get all our packets: a NIC with several needs steering or one channel.
    pub queue: u32,
    /// How packets get from the NIC to us.
    pub mode: XdpMode,
    /// Bytes of a frame: 2048 or 4096. A packet has 256 less.
    pub frame_bytes: u32,
    /// Frames that hold packets until they are taken, of all ports of the queue together: a power of two, 64 to 65,536. A port that
    /// is slow holds at most half of them.
    pub receive_frames: u32,
    /// Frames of each port that hold packets until they are sent: a power of two, 64 to 16,384.
    pub send_frames: u32,
    /// Most ports on the queue at a time: 1 to 64.
    pub ports_max: u32,
    /// Microseconds for which a look at an empty queue may poll the NIC (SO_BUSY_POLL, SO_PREFER_BUSY_POLL); 0: not at all.
    pub busy_poll_us: u32,
    /// Most packets of one such poll (SO_BUSY_POLL_BUDGET).
    pub busy_poll_budget: u32,
}

impl Default for XdpConfig {
    /// Queue 0, `auto`, 4096 frames of 2048 bytes for receiving, 512 for sending of each of up to eight ports; no busy polling.
    fn default() -> Self {
        Self {
            queue: 0,
            mode: XdpMode::Auto,
            frame_bytes: 2048,
            receive_frames: 4096,
            send_frames: 512,
            ports_max: 8,
            busy_poll_us: 0,
            busy_poll_budget: 64,
        }
    }
}

impl XdpConfig {
    /// Bytes of all frames of the queue.
    pub fn memory_bytes(&self) -> usize {
        (self.receive_frames + self.send_frames * self.ports_max) as usize * self.frame_bytes as usize
    }

    /// What is wrong with it, if anything: the setting, its value, and what would do.
    pub fn check(&self) -> Result<(), String> {
        let power = |name: &str, value: u32, max: u32| {
            if value.is_power_of_two() && (64..=max).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} = {value}: must be a power of two, 64 to {max}"))
            }
        };
        let range = |name: &str, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} = {value}: must be {low} to {high}"))
            }
        };
        if self.frame_bytes != 2048 && self.frame_bytes != 4096 {
            return Err(format!("frame_bytes = {}: must be 2048 or 4096", self.frame_bytes));
        }
        power("receive_frames", self.receive_frames, 65_536)?;
        power("send_frames", self.send_frames, 16_384)?;
        range("ports_max", self.ports_max, 1, 64)?;
        range("busy_poll_us", self.busy_poll_us, 0, 1_000_000)?;
        range("busy_poll_budget", self.busy_poll_budget, 1, 65_535)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_the_modes_it_prints() {
        for mode in [XdpMode::Auto, XdpMode::ZeroCopy, XdpMode::Native, XdpMode::Generic] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("skb".parse::<XdpMode>().unwrap_err().contains("zero_copy"));
    }

    #[test]
    fn should_name_the_setting_that_makes_no_sense() {
        let base = XdpConfig::default();
        assert_eq!(base.check(), Ok(()));
        let wrong = [
            (XdpConfig { frame_bytes: 1024, ..base }, "frame_bytes = 1024"),
            (XdpConfig { receive_frames: 1000, ..base }, "receive_frames = 1000"),
            (XdpConfig { send_frames: 32, ..base }, "send_frames = 32"),
            (XdpConfig { ports_max: 0, ..base }, "ports_max = 0"),
            (XdpConfig { busy_poll_budget: 0, ..base }, "busy_poll_budget = 0"),
        ];
        for (config, what) in wrong {
            assert!(config.check().unwrap_err().starts_with(what));
        }
    }
}
