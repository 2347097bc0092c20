//! The demo: it agrees with itself, over either transport, and however much is lost.
use serde_json::Value;
use std::process::Command;

/// A short demo's result; `None` where this machine does not have what the transport needs.
fn demo(transport: &str, loss_percent: &str) -> Option<Value> {
    let arguments = [
        "demo",
        "--json",
        "--messages",
        "30000",
        "--transport",
        transport,
        "--downstream-loss",
        loss_percent,
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_gds")).args(arguments).output().expect("gds runs");
    let told = String::from_utf8_lossy(&output.stderr);
    if transport == "io_uring" && !output.status.success() && told.contains("io_uring") {
        println!("skipped: no io_uring here: {}", told.trim());
        return None;
    }
    assert!(
        output.status.success(),
        "{transport}, {loss_percent} % lost: {told}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let result: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    assert_eq!(result["agrees"], true, "{result}");
    assert_eq!(result["digest"], result["listener_digest"]);
    assert_eq!(result["feed_messages"], 30_000);
    Some(result)
}

#[test]
fn should_give_the_same_content_over_either_transport() {
    let Some(uring) = demo("io_uring", "1") else { return };
    let socket = demo("socket", "1").expect("sockets are everywhere");
    assert_eq!(uring["content_digest"], socket["content_digest"]);
    assert_eq!(uring["native_transactions"], socket["native_transactions"]);
}

#[test]
fn should_agree_whatever_is_lost_downstream() {
    for loss_percent in ["0", "10", "30"] {
        let result = demo("auto", loss_percent).expect("auto takes what there is");
        let gaps = result["gaps"].as_u64().expect("a number");
        assert!(loss_percent == "0" || gaps > 0, "{loss_percent} % lost and no gap: {result}");
    }
}
