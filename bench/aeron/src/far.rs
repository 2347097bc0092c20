//! The far end: sends each message back, or counts it.
use crate::end::End;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Sends back what comes until it is told to end.
///
/// # Errors
/// What Aeron says.
pub fn echo(mut end: End, ended: &AtomicBool) -> Result<(), String> {
    // Heard and not sent back yet: more than one lap's only while there is no room.
    let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
    while !ended.load(Ordering::Acquire) {
        end.turn()?;
        if waiting.is_empty() {
            let mut fault = None;
            end.hear(|message| {
                let sent = waiting.is_empty()
                    && end.offer(message).unwrap_or_else(|why| {
                        fault = Some(why);
                        false
                    });
                if !sent {
                    waiting.push_back(message.to_vec());
                }
            })?;
            if let Some(fault) = fault {
                return Err(fault);
            }
        }
        while let Some(message) = waiting.front() {
            if !end.offer(message)? {
                break;
            }
            waiting.pop_front();
        }
    }
    Ok(())
}

/// Counts what comes until it is told to end.
///
/// # Errors
/// What Aeron says.
pub fn count(mut end: End, ended: &AtomicBool, count: &AtomicU64) -> Result<(), String> {
    while !ended.load(Ordering::Acquire) {
        end.turn()?;
        let heard = end.hear(|_| {})?;
        count.fetch_add(heard as u64, Ordering::Release);
    }
    Ok(())
}
