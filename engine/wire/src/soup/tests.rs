use proptest::prelude::*;

use super::*;
use crate::captures;

fn encoded(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut into = vec![0; MAX_PACKET_BYTES];
    let length = encode(kind, &[payload], &mut into).unwrap();
    into.truncate(length);
    into
}

fn parse_login(payload: &[u8]) -> Result<Login, SoupError> {
    Login::parse(payload)
}

#[test]
fn should_count_the_type_byte_in_the_length() {
    assert_eq!(encoded(SEQUENCED_DATA, b"abc"), b"\0\x04Sabc");
    assert_eq!(encoded(SERVER_HEARTBEAT, b""), SERVER_HEARTBEAT_PACKET);
    let mut into = [0; 9];
    assert_eq!(encode(UNSEQUENCED_DATA, &[b"ab", b"", b"cd"], &mut into), Some(7));
    assert_eq!(into[..7], *b"\0\x05Uabcd");
    assert_eq!(encode(UNSEQUENCED_DATA, &[&[0; 7]], &mut into), None);
}

#[test]
fn should_cap_payloads_where_a_signed_length_ends() {
    let payload = [0; MAX_PAYLOAD_BYTES + 1];
    let mut into = [0; 40_000];
    assert_eq!(encode(SEQUENCED_DATA, &[&payload], &mut into), None);
    assert_eq!(encode(SEQUENCED_DATA, &[&payload[1..]], &mut into), Some(MAX_PACKET_BYTES));
    assert_eq!(into[..2], 32_767_u16.to_be_bytes());
    assert!(Decoder::default().decode(&into).unwrap().is_some());
    into[..2].copy_from_slice(&32_768_u16.to_be_bytes());
    let error = SoupError::TooLong { packet_bytes: 32_770, packet_bytes_max: 32_769 };
    assert_eq!(Decoder::default().decode(&into), Err(error));
}

#[test]
fn should_wait_for_a_whole_packet() {
    let mut bytes = encoded(SEQUENCED_DATA, b"abc");
    let whole = bytes.len();
    bytes.extend(encoded(END_OF_SESSION, b""));
    let decoder = Decoder::default();
    for length in 0..whole {
        assert_eq!(decoder.decode(&bytes[..length]), Ok(None));
    }
    let packet = Packet { kind: SEQUENCED_DATA, payload: b"abc" };
    assert_eq!(decoder.decode(&bytes), Ok(Some((packet, whole))));
    assert_eq!(decoder.decode(b"\0\0"), Err(SoupError::ZeroLength));
    let error = SoupError::TooLong { packet_bytes: 4098, packet_bytes_max: MAX_LOGIN_PACKET_BYTES };
    assert_eq!(Decoder::new(MAX_LOGIN_PACKET_BYTES).decode(b"\x10\0"), Err(error));
}

#[test]
fn should_write_a_login_padded_as_published() {
    let login = Login::new("user", "secret", Session::padded("SES1").unwrap(), 42).unwrap();
    let mut into = [0; 64];
    let length = login.encode(&mut into).unwrap();
    let expected = b"\0\x2fLuser  secret          SES1                  42";
    assert_eq!((length, &into[..length]), (49, &expected[..]));
    assert_eq!(parse_login(&into[3..length]), Ok(login));
    let with_timeout = Login { heartbeat_timeout_ms: Some(1500), ..login };
    let length = with_timeout.encode(&mut into).unwrap();
    assert_eq!((length, &into[..2], &into[49..length]), (54, &b"\0\x34"[..], &b" 1500"[..]));
    assert_eq!(parse_login(&into[3..length]), Ok(with_timeout));
}

#[test]
fn should_accept_padding_on_either_side() {
    let right = parse_login(b"user  secret    SES1      42                  ").unwrap();
    let left = parse_login(b"  user    secret      SES1                  42").unwrap();
    let nul =
        parse_login(b"user\0\0secret\0\0\0\0SES1\0\0\0\0\0\0\x0042\0 \0 \0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
    assert_eq!((right, nul), (left, left));
    assert_eq!((right.session.to_string(), right.sequence), ("SES1".into(), 42));
    let blank = parse_login(&[b' '; 46]).unwrap();
    assert!(blank.session.is_blank() && blank.sequence == 0 && blank.user().is_empty());
    assert_eq!(parse_login(&[b' '; 51]).unwrap().heartbeat_timeout_ms, None);
}

#[test]
fn should_refuse_logins_of_another_size_or_without_a_number() {
    for length in [0, 45, 47, 50, 52] {
        let error = SoupError::PayloadLength { kind: LOGIN_REQUEST, length };
        assert_eq!(parse_login(&vec![b' '; length]), Err(error));
    }
    for field in
        ["                  -1", "                1 2 ", "                  +1", "                 0x1"]
    {
        let payload = format!("{:26}{field}", "");
        assert_eq!(
            parse_login(payload.as_bytes()),
            Err(SoupError::Number { kind: LOGIN_REQUEST }),
            "{field}"
        );
    }
    let largest = format!("{:26}{}", "", "9".repeat(20));
    assert_eq!(parse_login(largest.as_bytes()).unwrap().sequence, u64::MAX);
}

#[test]
fn should_compare_users_and_passwords_without_case_and_show_no_password() {
    let login = Login::new("User", "SeCret", Session::BLANK, 0).unwrap();
    assert!(login.is("uSER", "secret") && login.is("user  ", "SECRET"));
    assert!(!login.is("user", "secre") && !login.is("use", "secret") && !login.is("user", ""));
    assert!(!format!("{login:?}").to_lowercase().contains("secret"));
    assert_eq!(Login::new("toolong", "x", Session::BLANK, 0), None);
    assert_eq!(Login::new("user", "passwordlong", Session::BLANK, 0), None);
    assert_eq!(Login::new("user", "x", Session::BLANK, MAX_SEQUENCE + 1), None);
}

#[test]
fn should_write_the_answers_as_published() {
    let accepted = LoginAccepted { session: Session::padded("SES1").unwrap(), sequence: 1 };
    let mut into = [0; 40];
    let length = accepted.encode(&mut into).unwrap();
    let expected = b"\0\x1fA      SES1                   1";
    assert_eq!(&into[..length], &expected[..]);
    assert_eq!(LoginAccepted::parse(&into[3..length]), Ok(accepted));
    assert_eq!(RejectCode::NotAuthorized.packet(), *b"\0\x02JA");
    let mut huge = into[3..length].to_vec();
    huge[10..].fill(b'9');
    assert_eq!(LoginAccepted::parse(&huge), Err(SoupError::Number { kind: LOGIN_ACCEPTED }));
}

#[test]
fn should_tell_what_each_side_sends() {
    let server = |kind, payload| ServerPacket::parse(Packet { kind, payload });
    let client = |kind, payload| ClientPacket::parse(Packet { kind, payload });
    assert_eq!(server(b'J', b"S"), Ok(ServerPacket::LoginRejected(RejectCode::SessionNotAvailable)));
    assert_eq!(server(b'J', b"Q"), Err(SoupError::RejectCode(b'Q')));
    assert_eq!(server(b'J', b""), Err(SoupError::PayloadLength { kind: b'J', length: 0 }));
    assert_eq!(server(b'H', b""), Ok(ServerPacket::Heartbeat));
    assert_eq!(server(b'Z', b""), Ok(ServerPacket::EndOfSession));
    assert_eq!(server(b'U', b"x"), Ok(ServerPacket::UnsequencedData(b"x")));
    assert_eq!(server(b'R', b""), Err(SoupError::UnknownType(b'R')));
    assert_eq!(client(b'R', b""), Ok(ClientPacket::Heartbeat));
    assert_eq!(client(b'O', b""), Ok(ClientPacket::Logout));
    assert_eq!(client(b'+', b"hi"), Ok(ClientPacket::Debug(b"hi")));
    assert_eq!(client(b'S', b""), Err(SoupError::UnknownType(b'S')));
}

/// The bytes of each direction of each recorded connection to one of `ports`, and whether they came from the server.
fn streams(pcap: &[u8], ports: &[u16]) -> Vec<(bool, Vec<u8>)> {
    let mut streams: Vec<((u16, u16), u32, Vec<u8>)> = Vec::new();
    for segment in captures::segments(pcap) {
        let payload = &segment.payload;
        if payload.is_empty() || !(ports.contains(&segment.ports.0) || ports.contains(&segment.ports.1)) {
            continue;
        }
        let next = segment.sequence.wrapping_add(payload.len() as u32);
        match streams.iter_mut().find(|(pair, _, _)| *pair == segment.ports) {
            Some((_, expected, bytes)) if *expected == segment.sequence => {
                bytes.extend_from_slice(payload);
                *expected = next;
            }
            Some(_) => {}
            None => streams.push((segment.ports, next, payload.clone())),
        }
    }
    streams.into_iter().map(|(pair, _, bytes)| (ports.contains(&pair.0), bytes)).collect()
}

/// How often each type was sent over all connections of a recording, server's first.
fn tally(name: &str, ports: &[u16]) -> Option<[std::collections::BTreeMap<char, usize>; 2]> {
    let pcap = captures::read(name)?;
    let mut counts = [std::collections::BTreeMap::new(), std::collections::BTreeMap::new()];
    for (from_server, bytes) in streams(&pcap, ports) {
        let mut rest = &bytes[..];
        while let Some((packet, consumed)) = Decoder::default().decode(rest).unwrap() {
            if from_server {
                ServerPacket::parse(packet).unwrap();
            } else {
                ClientPacket::parse(packet).unwrap();
            }
            *counts[usize::from(!from_server)].entry(char::from(packet.kind)).or_insert(0) += 1;
            rest = &rest[consumed..];
        }
        assert!(rest.is_empty());
    }
    Some(counts)
}

#[test]
fn should_read_what_another_server_and_client_exchanged() {
    let Some([server, client]) = tally("soup/session.pcap", &[15_021]) else { return };
    assert_eq!((server[&'A'], server[&'S'], server[&'Z']), (1, 600, 1));
    assert_eq!((client[&'L'], client[&'U'], client[&'O']), (1, 2, 1));
}

#[test]
fn should_read_rejects_and_a_resumed_session_of_another_server() {
    let Some([server, client]) = tally("soup/reject-glimpse-resume.pcap", &[15_031, 15_032]) else { return };
    assert_eq!((server[&'A'], server[&'J'], server[&'S'], server[&'Z']), (3, 2, 2229, 1));
    assert_eq!((client[&'L'], client[&'O']), (5, 3));
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(kind: u8, payload in prop::collection::vec(any::<u8>(), 0..2000), split in 0..2000_usize) {
        let (front, back) = payload.split_at(split.min(payload.len()));
        let mut into = [0; 2100];
        let length = encode(kind, &[front, back], &mut into).unwrap();
        let packet = Packet { kind, payload: &payload };
        prop_assert_eq!(Decoder::default().decode(&into), Ok(Some((packet, length))));
    }

    #[test]
    fn should_read_back_every_login(
        user in "[!-~]{0,6}",
        password in "[!-~]{0,10}",
        session in prop::option::of("[!-~]{1,10}"),
        sequence in 0..=MAX_SEQUENCE,
        timeout in prop::option::of(1..100_000_u32),
    ) {
        let session = session.map_or(Session::BLANK, |name| Session::padded(&name).unwrap());
        let login = Login::new(&user, &password, session, sequence).unwrap();
        let login = Login { heartbeat_timeout_ms: timeout, ..login };
        let mut into = [0; 54];
        let length = login.encode(&mut into).unwrap();
        prop_assert_eq!(Login::parse(&into[3..length]), Ok(login));
        prop_assert!(login.is(&user, &password));
    }

    #[test]
    fn should_never_panic_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80), kind in prop::sample::select(&b"+LUROAJSUHZ?"[..])) {
        let decoder = Decoder::default();
        let _ = decoder.decode(&bytes);
        let mut sized = encoded(kind, &bytes);
        let (packet, consumed) = decoder.decode(&sized).unwrap().unwrap();
        prop_assert_eq!(consumed, bytes.len() + 3);
        let _ = ClientPacket::parse(packet);
        let _ = ServerPacket::parse(packet);
        sized.resize(3 + LOGIN_TIMEOUT_BYTES, b' ');
        let _ = Login::parse(&sized[3..]);
        let _ = Login::parse(&sized[3..3 + LOGIN_BYTES]);
        let _ = LoginAccepted::parse(&sized[3..3 + LOGIN_ACCEPTED_BYTES]);
    }
}
