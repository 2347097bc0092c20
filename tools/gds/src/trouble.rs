//! What troubles a process while it runs, told as it comes and goes.
use serde_json::json;
use std::time::Duration;

/// How often a process is asked whether all is well.
pub const TROUBLE_LOOK: Duration = Duration::from_secs(1);

/// Tells each trouble once, and that all is over.
pub struct Told {
    json: bool,
    last: Vec<String>,
}

impl Told {
    /// Nothing yet; `json`: one object a line.
    pub fn new(json: bool) -> Self {
        Self { json, last: Vec::new() }
    }

    /// This is wrong now; what is empty is nothing.
    pub fn tell(&mut self, troubles: &[String]) {
        let now: Vec<String> = troubles.iter().filter(|trouble| !trouble.is_empty()).cloned().collect();
        for trouble in now.iter().filter(|trouble| !self.last.contains(trouble)) {
            self.say(trouble);
        }
        if now.is_empty() && !self.last.is_empty() {
            self.say("");
        }
        self.last = now;
    }

    fn say(&self, trouble: &str) {
        match (self.json, trouble.is_empty()) {
            (true, _) => println!("{}", json!({ "trouble": trouble })),
            (false, false) => println!("! {trouble}"),
            (false, true) => println!("all is well again"),
        }
    }
}
