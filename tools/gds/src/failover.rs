//! `gds failover`: the leader hands over.
use crate::arguments::Failover;
use crate::exit::{Failure, Outcome};
use crate::{cluster, config, text};
use gds_node::config::Config;
use gds_node::control::{self, Answer, ControlError, HandedOver, Order};
use gds_node::settings;
use serde_json::json;
use std::time::Duration;

/// How much longer than the node's own wait its answer may take.
const MARGIN: Duration = Duration::from_secs(5);

/// Orders the node on this machine to hand over, and waits until another leads.
pub fn run(arguments: &Failover) -> Outcome {
    let config = config::load(Some(&arguments.config))?;
    let me = cluster::member(&config)?;
    let most_ms = control::HAND_OVER_MAX.as_millis() as u64;
    if !(1..=most_ms).contains(&arguments.wait_ms) {
        return Err(Failure::usage(format!("--wait-ms {}: 1 to {most_ms}", arguments.wait_ms)));
    }
    let order = Order::HandOver { wait_ms: arguments.wait_ms };
    let wait = Duration::from_millis(arguments.wait_ms) + MARGIN;
    match control::ask(&config.stream.directory, &order, wait) {
        Ok(Answer::HandedOver(done)) => tell(me, &done, arguments.json),
        Ok(Answer::Error(why)) => return Err(Failure::failed(why)),
        Ok(Answer::Status(_)) => {
            return Err(Failure::failed("the node answered something else than was asked"));
        }
        Err(ControlError::NotRunning(why)) => {
            return Err(Failure::failed(format!(
                "{why}. Run this on the leader's machine{}",
                who_leads(&config)
            )));
        }
        Err(error) => return Err(Failure::failed(error)),
    }
    Ok(())
}

fn tell(from: u8, done: &HandedOver, as_json: bool) {
    let HandedOver { leader, epoch, took_ns } = done;
    if as_json {
        println!("{}", json!({ "from": from, "leader": leader, "epoch": epoch, "took_ns": took_ns }));
    } else {
        println!(
            "node {leader} leads now, in epoch {epoch}; node {from} handed over in {}, and nothing was refused",
            text::duration(*took_ns)
        );
    }
}

/// What the register says of the leader, as the end of a sentence.
fn who_leads(config: &Config) -> String {
    let asked = settings::register(config).expect("the configuration has been checked");
    let held = gds_register::open(&asked).and_then(|mut register| register.read());
    let Ok(Some(value)) = held.map(|state| state.value) else { return String::new() };
    let address = settings::peers(config).into_iter().find(|(node, _)| *node == value.leader);
    let address = address.map_or_else(String::new, |(_, address)| format!(" ({address})"));
    if value.epoch == 0 {
        String::new()
    } else {
        format!(": by the register that is node {}{address}", value.leader)
    }
}
