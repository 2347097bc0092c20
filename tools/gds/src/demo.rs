//! demo
use crate::arguments::Demo;
use crate::exit::Outcome;
/// x
pub fn run(_a: &Demo) -> Outcome {
    Ok(())
}
