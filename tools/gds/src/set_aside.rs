//! `gds set-aside`: a stopped node's log is moved out of the way, so that the node learns the stream anew.
use crate::arguments::SetAside;
use crate::config;
use crate::exit::{Failure, Outcome};
use serde_json::json;

/// Moves it and says where it is.
pub fn run(arguments: &SetAside) -> Outcome {
    let config = config::load(Some(&arguments.config))?;
    let moved = gds_node::set_aside::set_aside(&config).map_err(Failure::failed)?;
    let aside = moved.as_ref().map(|folder| folder.display().to_string());
    let in_cluster = gds_node::settings::cluster_node(&config).is_some();
    if arguments.json {
        println!("{}", json!({ "set_aside": aside }));
        return Ok(());
    }
    match aside {
        None => println!(
            "{}: this node has nothing of a stream. Nothing was changed",
            config.stream.directory.display()
        ),
        Some(aside) => {
            println!("this node's log is in {aside} now, whole; nothing was deleted");
            println!(
                "{}",
                match in_cluster {
                    true =>
                        "start the node: it learns the stream from the others. Remove that folder once nobody needs to look at it",
                    false =>
                        "this node is alone: its next start begins a new stream. To go on with the old one move everything back",
                }
            );
        }
    }
    Ok(())
}
