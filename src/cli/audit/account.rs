//! Whose process this is.

use std::fs;

use super::super::environment;
use crate::audit::reviews::Account;

/// What `/proc/self/loginuid` says of a process that nobody logged in for.
const NOBODY: u32 = u32::MAX;

/// The account that this process runs as.
pub(super) fn account() -> Account {
    let uid = rustix::process::getuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let login = fs::read_to_string("/proc/self/loginuid").ok();
    let login: Option<u32> = login.and_then(|uid| uid.trim().parse().ok());
    let login = login.filter(|uid| *uid != NOBODY);
    Account {
        uid,
        name: name(&users, uid),
        login: login.map(|uid| name(&users, uid).unwrap_or_else(|| format!("uid {uid}"))),
        sudo: environment("SUDO_USER").filter(|user| !user.is_empty() && user.len() <= 256),
    }
}

/// Its name among the users of `/etc/passwd`.
fn name(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_number() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\nbroken\njdoe:x:1000:1000::/home/jdoe:/bin/sh\n";

        assert_eq!(name(users, 1000).as_deref(), Some("jdoe"));
        assert_eq!(name(users, 7), None);
    }
}
