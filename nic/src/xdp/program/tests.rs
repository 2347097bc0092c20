use super::*;

fn flow(number: u8, senders: usize) -> Flow {
    Flow {
        to: SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, number), 26_400),
        senders: (0..senders).map(|sender| Ipv4Addr::new(10, 0, number, sender as u8)).collect(),
        socket: u32::from(number),
    }
}

fn flows(count: usize, senders: usize) -> FilterConfig {
    FilterConfig { flows: (0..count).map(|number| flow(number as u8, senders)).collect(), queue: 3 }
}

#[test]
fn the_largest_program_can_be_written_and_no_larger_one() {
    let largest = Program::assemble(&flows(FLOWS_MAX, SENDERS_MAX)).unwrap();
    assert!(largest.instructions() > FLOWS_MAX * SENDERS_MAX, "{}", largest.instructions());
    let error = Program::assemble(&flows(FLOWS_MAX + 1, 0)).unwrap_err().to_string();
    assert!(error.contains("65 flows, at most 64"), "{error}");
    let error = Program::assemble(&flows(1, SENDERS_MAX + 1)).unwrap_err().to_string();
    assert!(error.contains("65 senders of 239.1.1.0:26400, at most 64"), "{error}");
}

#[test]
fn two_flows_with_one_address_are_refused() {
    let mut config = flows(3, 0);
    config.flows[2].to = config.flows[0].to;
    let error = Program::assemble(&config).unwrap_err().to_string();
    assert!(error.contains("239.1.1.0:26400 would go to two sockets"), "{error}");
    config.flows[2].to.set_port(26_401);
    Program::assemble(&config).unwrap();
}

#[test]
fn the_listing_tells_flows_senders_and_queue() {
    let listing = Program::assemble(&flows(2, 1)).unwrap().to_string();
    for part in
        ["flow_0:", "flow_1:", "; 239.1.1.1", "; port 26400", "; from 10.0.1.0", "if w1 != 0x3 goto pass"]
    {
        assert!(listing.contains(part), "{part} is not in\n{listing}");
    }
    assert!(listing.ends_with("exit\n"), "{listing}");
}
