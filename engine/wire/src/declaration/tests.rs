use proptest::prelude::*;

use super::*;

fn example() -> Declaration {
    Declaration {
        limits: Limits {
            records_max: 1,
            bytes_max: 2,
            sessions_max: 3,
            session_forget_messages: 4,
            horizon_messages: 5,
            index_seed: 6,
        },
        tables: vec![
            TableDeclaration { table: 1, name: "orders".parse().unwrap() },
            TableDeclaration { table: 2, name: "stocks".parse().unwrap() },
        ],
        schemas: vec![SchemaDeclaration {
            pattern: "ITCH*".parse().unwrap(),
            schema: Schema::Itch50,
            version: SCHEMA_VERSION,
            first_table: 1,
        }],
    }
}

#[test]
fn should_lay_out_the_fields_in_order() {
    let bytes = example().to_bytes();
    assert_eq!(bytes.len(), example().encoded_bytes());
    assert_eq!(bytes[..9], *b"\x01\0\0\0\0\0\0\0\x01");
    assert_eq!(bytes[17..21], *b"\0\0\0\x03");
    assert_eq!(bytes[45..65], *b"\0\x02\0\x01orders          ");
    assert_eq!(bytes[83..], *b"\0\x01ITCH*     \x01\x01\0\x01");
    assert_eq!(Declaration::parse(&bytes), Ok(example()));
}

#[test]
fn should_refuse_every_cut_and_every_addition() {
    let mut bytes = example().to_bytes();
    for length in 0..bytes.len() {
        assert_eq!(Declaration::parse(&bytes[..length]), Err(DeclarationError::Truncated), "{length}");
    }
    bytes.push(0);
    assert_eq!(Declaration::parse(&bytes), Err(DeclarationError::TrailingBytes(1)));
}

#[test]
fn should_refuse_what_it_does_not_know() {
    let good = example().to_bytes();
    let with = |offset: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[offset] = byte;
        Declaration::parse(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 2), DeclarationError::UnknownVersion(2));
    assert_eq!(with(49, b' '), DeclarationError::TableName);
    assert_eq!(with(66, 1), DeclarationError::DuplicateTable(1));
    assert_eq!(with(95, 7), DeclarationError::UnknownSchema { schema: 7, version: 1 });
    assert_eq!(with(96, 2), DeclarationError::UnknownSchema { schema: 1, version: 2 });
    assert_eq!(with(85, b'*'), DeclarationError::Pattern(SessionError::Star { offset: 0 }));
    let mut late = example();
    late.schemas[0].first_table = u16::MAX;
    assert_eq!(Declaration::parse(&late.to_bytes()), Err(DeclarationError::FirstTable(u16::MAX)));
    let mut twice = example();
    twice.tables[1].name = twice.tables[0].name;
    assert_eq!(twice.check(), Err(DeclarationError::DuplicateTable(2)));
}

#[test]
fn should_refuse_table_names_that_people_could_not_type() {
    for name in ["", " ", "two words", "seventeen_letters", "trailing ", "é"] {
        assert_eq!(name.parse::<TableName>(), Err(DeclarationError::TableName), "{name:?}");
    }
    assert_eq!("sixteen_letters_".parse::<TableName>().unwrap().as_str(), "sixteen_letters_");
}

#[test]
fn should_say_when_it_does_not_fit() {
    let mut small = [0; 98];
    assert_eq!(example().encode(&mut small), None);
    let mut large = [9; 120];
    let length = example().encode(&mut large).unwrap();
    assert_eq!(Declaration::parse(&large[..length]), Ok(example()));
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(
        numbers in any::<(u64, u64, u32, u64, u64, u64)>(),
        names in prop::collection::btree_set("[!-~]{1,16}", 0..20),
        patterns in prop::collection::vec("[A-Z?]{1,9}\\*?", 0..8),
    ) {
        let declaration = Declaration {
            limits: Limits {
                records_max: numbers.0,
                bytes_max: numbers.1,
                sessions_max: numbers.2,
                session_forget_messages: numbers.3,
                horizon_messages: numbers.4,
                index_seed: numbers.5,
            },
            tables: (0..).zip(&names).map(|(table, name)| TableDeclaration { table, name: name.parse().unwrap() }).collect(),
            schemas: (0..)
                .zip(&patterns)
                .map(|(first_table, pattern)| SchemaDeclaration {
                    pattern: pattern.parse().unwrap(),
                    schema: Schema::from_u8((first_table % 2) as u8).unwrap(),
                    version: SCHEMA_VERSION,
                    first_table,
                })
                .collect(),
        };
        prop_assert_eq!(Declaration::parse(&declaration.to_bytes()), Ok(declaration));
    }

    #[test]
    fn should_never_panic_on_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..150), tables in 0..5_u8) {
        if bytes.len() > 47 {
            bytes[0] = 1;
            bytes[45] = 0;
            bytes[46] = tables;
        }
        let _ = Declaration::parse(&bytes);
    }
}
