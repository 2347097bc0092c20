//! Configurations: any text is refused with findings, or is one that a node can be built from.
use gds_core::disk::BLOCK_BYTES;
use gds_core::journal::GROUP_BYTES_MAX;
use gds_node::config::Config;
use gds_node::settings;
use gds_wire::declaration::Declaration;
use gds_wire::envelope::max_block_bytes;
use gds_wire::session::Session;

/// A text into the configuration's parser.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, "input.toml") {
        Ok(config) => {
            assert!(gds_node::check::findings(&config).is_empty());
            drop(format!("{config:?}"));
            build(&config);
        }
        Err(error) => {
            assert!(
                !error.findings.is_empty() && error.findings.iter().all(|finding| !finding.trim().is_empty())
            );
            assert!(error.to_string().starts_with("input.toml:"));
        }
    }
}

/// Everything that a node is built from, held against what the engine demands of it.
fn build(config: &Config) {
    let start = settings::start(config, [0; 16], Session::NODE);
    let declaration = &start.declaration;
    assert_eq!(declaration.check(), Ok(()));
    assert_eq!(Declaration::parse(&declaration.to_bytes()).as_ref(), Ok(declaration));
    let room = max_block_bytes(config.network.max_payload_bytes);
    assert!(declaration.encoded_bytes() <= room, "message 1 has {} bytes", declaration.encoded_bytes());
    for ring in [start.ring, start.acknowledgement_ring] {
        assert!(ring.data_bytes.is_power_of_two() && ring.positions.is_power_of_two(), "{ring:?}");
    }
    let (segment, group) = (start.journal.segment_bytes, start.journal.group_bytes_max);
    let blocks = |bytes: u64| bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES as u64);
    assert!(blocks(segment) && blocks(group as u64), "{:?}", start.journal);
    assert!(segment >= 2 * BLOCK_BYTES as u64 && group <= GROUP_BYTES_MAX, "{:?}", start.journal);
    let query = settings::query(config);
    assert!(
        query.retained_bytes >= query.retained_bytes_min(),
        "retained_bytes: {}",
        query.retained_bytes_min()
    );
    drop(settings::users(config));
    let _ = settings::rewinder(config);
    drop(settings::interface(config));
    let _ = settings::tcp(config);
    let loss = &config.loss;
    let _ = settings::loss(config, 1, loss.rewinder_per_mille, loss.rewinder_per_mille);
}
