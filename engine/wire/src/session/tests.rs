use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> SessionPattern {
    text.parse().unwrap()
}

#[test]
fn should_pad_names_on_the_right() {
    assert_eq!(Session::padded("ITCH"), Some(Session(*b"ITCH      ")));
    assert_eq!(Session::padded("1670788904"), Some(Session(*b"1670788904")));
    assert_eq!(Session::padded("GDSNODE"), Some(Session::NODE));
}

#[test]
fn should_refuse_names_that_cannot_be_sent() {
    for name in ["", "   ", "elevenchars", "tab\t", "é"] {
        assert_eq!(Session::padded(name), None, "{name:?}");
    }
    assert_eq!("".parse::<Session>(), Err(SessionError::Empty));
    assert_eq!("elevenchars".parse::<Session>(), Err(SessionError::TooLong));
    assert_eq!("a\\x4".parse::<Session>(), Err(SessionError::Character { offset: 1 }));
    assert_eq!("a\\".parse::<Session>(), Err(SessionError::Character { offset: 1 }));
    assert_eq!("aé".parse::<Session>(), Err(SessionError::Character { offset: 1 }));
}

#[test]
fn should_write_unprintable_names_so_that_they_can_be_read_again() {
    let nul = Session([0; 10]);
    assert_eq!(nul.to_string(), "\\x00".repeat(10));
    assert_eq!(nul.to_string().parse(), Ok(nul));
    assert_eq!(Session(*b"A B\\      ").to_string(), "A B\\x5c");
    assert_eq!(format!("{:>6}|", Session::padded("AB").unwrap()), "    AB|");
}

#[test]
fn should_match_single_characters_and_open_ends() {
    let session = |name: &str| Session::padded(name).unwrap();
    assert!(pattern("ITCH*").matches(&session("ITCH")));
    assert!(pattern("ITCH*").matches(&session("ITCH050925")));
    assert!(!pattern("ITCH*").matches(&session("ITC")));
    assert!(pattern("AB?").matches(&session("ABC")));
    assert!(!pattern("AB?").matches(&session("AB")));
    assert!(!pattern("AB?").matches(&session("ABCD")));
    assert!(pattern("AB").matches(&session("AB")));
    assert!(!pattern("AB").matches(&session("AB2")));
    assert!(pattern("?B*").matches(&session("AB2")));
    assert!(pattern("*").matches(&Session([0; 10])) && SessionPattern::ANY.matches(&session("X")));
    assert!(pattern("123456789*").matches(&session("1234567890")));
    assert!(SessionPattern::from(session("AB")).matches(&session("AB")));
}

#[test]
fn should_refuse_patterns_that_are_none() {
    assert_eq!("A*B".parse::<SessionPattern>(), Err(SessionError::Star { offset: 1 }));
    assert_eq!("**".parse::<SessionPattern>(), Err(SessionError::Star { offset: 0 }));
    assert_eq!(SessionPattern::from_bytes([b' '; 10]), Err(SessionError::Empty));
    assert_eq!("1234567890*".parse::<SessionPattern>(), Err(SessionError::TooLong));
    assert!(SessionError::Star { offset: 1 }.to_string().contains("offset 1"));
}

proptest! {
    #[test]
    fn should_read_back_every_name_it_shows(bytes in any::<[u8; 10]>()) {
        let session = Session(bytes);
        if !session.is_blank() {
            prop_assert_eq!(session.to_string().parse(), Ok(session));
        }
    }

    #[test]
    fn should_never_panic_on_text(text in "\\PC{0,14}|[\\\\x*?0-9a-f ]{0,24}") {
        let _ = text.parse::<Session>();
        if let Ok(pattern) = text.parse::<SessionPattern>() {
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }

    #[test]
    fn should_agree_with_a_plain_matcher(pattern in "[AB?]{0,9}\\*?", name in "[AB]{1,10}") {
        prop_assume!(!pattern.is_empty());
        fn plain(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern, name) {
                ([b'*'], _) | ([], []) => true,
                ([p, pattern @ ..], [n, name @ ..]) => (*p == b'?' || p == n) && plain(pattern, name),
                _ => false,
            }
        }
        let matched = pattern.parse::<SessionPattern>().unwrap().matches(&Session::padded(&name).unwrap());
        prop_assert_eq!(matched, plain(pattern.as_bytes(), name.as_bytes()));
    }
}
