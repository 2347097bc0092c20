//! Who may log in, and what they may read.
use gds_wire::soup::Login;

/// The tables a user may read by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Every table, now and later.
    All,
    /// These.
    Only(Vec<u16>),
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Up to 6 characters; case does not matter (PROTOCOLS A3).
    pub name: String,
    /// Up to 10 characters; case does not matter.
    pub password: String,
    /// What the user may read by key.
    pub tables: Tables,
    /// Whether the user may read the stream itself, which shows every table: ranges and watches need it.
    pub stream: bool,
}

impl User {
    /// A user who may read everything.
    pub fn all(name: &str, password: &str) -> Self {
        Self { name: name.to_owned(), password: password.to_owned(), tables: Tables::All, stream: true }
    }

    /// A user who may read these tables, and not the stream.
    pub fn only(name: &str, password: &str, tables: &[u16]) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            tables: Tables::Only(tables.to_vec()),
            stream: false,
        }
    }

    /// Whether the user may read this table by key.
    pub fn may_read(&self, table: u16) -> bool {
        match &self.tables {
            Tables::All => true,
            Tables::Only(tables) => tables.contains(&table),
        }
    }
}

/// The index of a user; valid for the life of the server.
pub type UserId = u16;

/// All users.
#[derive(Clone, Debug, Default)]
pub struct Users(Vec<User>);

impl Users {
    /// Takes the users as configured.
    ///
    /// # Panics
    /// When a name is empty, longer than 6 characters or there twice, or a password is longer than 10: the configuration is
    /// checked before.
    pub fn new(users: Vec<User>) -> Self {
        assert!(users.len() < usize::from(UserId::MAX), "too many users");
        for (at, user) in users.iter().enumerate() {
            assert!(
                (1..=6).contains(&user.name.trim().len()),
                "user name {:?} is not 1 to 6 characters",
                user.name
            );
            assert!(user.password.trim().len() <= 10, "the password of {:?} is longer than 10", user.name);
            let twice =
                users[..at].iter().any(|other| other.name.trim().eq_ignore_ascii_case(user.name.trim()));
            assert!(!twice, "user {:?} is there twice", user.name);
        }
        Self(users)
    }

    /// The user whose name and password a login carries, compared without case and padding (PROTOCOLS A8 row S16).
    pub fn authorize(&self, login: &Login) -> Option<UserId> {
        self.0.iter().position(|user| login.is(&user.name, &user.password)).map(|at| at as UserId)
    }

    /// The user with this id.
    pub fn get(&self, id: UserId) -> &User {
        &self.0[usize::from(id)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_wire::session::Session;

    #[test]
    fn should_compare_names_and_passwords_without_case_and_padding() {
        let users = Users::new(vec![User::only("reader", "secret", &[3]), User::all("ops", "")]);
        let login = |user: &str, password: &str| Login::new(user, password, Session::BLANK, 0).unwrap();
        assert_eq!(users.authorize(&login("READER", "Secret")), Some(0));
        assert_eq!(users.authorize(&login("ops", "")), Some(1));
        assert_eq!(users.authorize(&login("ops", "secret")), None);
        assert_eq!(users.authorize(&login("reade", "secret")), None);
        assert_eq!(users.authorize(&login("", "")), None);
    }

    #[test]
    fn should_let_a_user_read_only_what_is_listed() {
        let users = Users::new(vec![User::only("a", "", &[3, 7])]);
        assert!(users.get(0).may_read(7) && !users.get(0).may_read(4) && !users.get(0).stream);
    }

    #[test]
    #[should_panic(expected = "there twice")]
    fn should_refuse_a_name_that_is_there_twice() {
        Users::new(vec![User::all("a", ""), User::all("A ", "")]);
    }
}
