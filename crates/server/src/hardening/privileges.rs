//! Another user, no capabilities, and no way to get any back.
//!
//! What is changed here belongs to the calling thread (the kernel knows no processes in this), so that it must be the only one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid, set_thread_uid,
};

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// How the names of the server's files in the data directory begin. What else lies there (`lost+found`) is not its business.
const OURS: [&str; 6] = ["journal", "lock", "reserve", "strangers", "strongroom.", "unseal.sock"];

/// Capabilities have numbers below this one.
const CAPABILITIES_MAX: u32 = 64;

#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    #[error(
        "`{}` belongs to user {owner}, not to `{user}`, who would serve it: run `chown -R {user}: {}`",
        path.display(),
        data.display()
    )]
    ForeignOwner { data: PathBuf, owner: u32, path: PathBuf, user: String },
    #[error("the server could become root again, and does not start")]
    Kept,
    #[error(
        "there is no group `{name}` in {GROUPS}: make it (`groupadd --system {name}`), or give a group's number"
    )]
    NoGroup { name: String },
    #[error(
        "there is no user `{name}` in {USERS}: make it (`useradd --system {name}`), or give a user's number and `--group`"
    )]
    NoUser { name: String },
    #[error("only root can become `{name}`: start as root or as `{name}`, or leave `user` out")]
    NotRoot { name: String },
    #[error("cannot read `{path}`")]
    Read { path: &'static str, source: io::Error },
    #[error("`user` is root: name one that has no rights")]
    Root,
    #[error("cannot {doing}")]
    System { doing: &'static str, source: Errno },
}

fn system(doing: &'static str) -> impl FnOnce(Errno) -> PrivilegesError {
    move |source| PrivilegesError::System { doing, source }
}

/// Whom the server becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    gid: u32,
    name: String,
    uid: u32,
}

impl Account {
    /// A user by its name in /etc/passwd or its number; `group`, if it is not empty, in place of the user's own. Refused if
    /// this process could not become it.
    pub(crate) fn find(user: &str, group: &str) -> Result<Self, PrivilegesError> {
        let read = |path| fs::read_to_string(path).map_err(|source| PrivilegesError::Read { path, source });
        let account = Self::among(&read(USERS)?, &read(GROUPS)?, user, group)?;
        let own = geteuid();
        if account.uid == 0 {
            return Err(PrivilegesError::Root);
        }
        if !own.is_root() && own.as_raw() != account.uid {
            return Err(PrivilegesError::NotRoot { name: account.name });
        }
        Ok(account)
    }

    fn among(users: &str, groups: &str, user: &str, group: &str) -> Result<Self, PrivilegesError> {
        // passwd(5): name, password, user, group; group(5): name, password, group.
        let own =
            |fields: Vec<&str>| Some((fields.first()?.parse().ok()?, Some(fields.get(1)?.parse().ok()?)));
        let numbers = entry(users, user).and_then(own);
        let (uid, own_gid): (u32, Option<u32>) = match (numbers, user.parse()) {
            (Some(numbers), _) => numbers,
            (None, Ok(uid)) => (uid, None),
            (None, Err(_)) => return Err(PrivilegesError::NoUser { name: user.to_owned() }),
        };
        let no_group = || PrivilegesError::NoGroup { name: group.to_owned() };
        let gid = match (group, own_gid) {
            ("", Some(gid)) => gid,
            ("", None) => return Err(PrivilegesError::NoUser { name: user.to_owned() }),
            (group, _) => {
                let found = entry(groups, group).and_then(|fields| fields.first()?.parse().ok());
                found.or_else(|| group.parse().ok()).ok_or_else(no_group)?
            }
        };
        if uid == u32::MAX || gid == u32::MAX {
            return Err(PrivilegesError::NoUser { name: user.to_owned() });
        }
        Ok(Self { gid, name: user.to_owned(), uid })
    }

    /// Refuses data that the user could not serve, because somebody else made them.
    pub(crate) fn check_owner(&self, data: &Path) -> Result<(), PrivilegesError> {
        // What cannot be read here will be missed, and named, by whoever needs it.
        let inside = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let ours = inside(data).filter(|entry| {
            let name = entry.file_name();
            OURS.iter().any(|ours| name.as_encoded_bytes().starts_with(ours.as_bytes()))
        });
        let mut paths = vec![data.to_owned()];
        for entry in ours {
            paths.push(entry.path());
            paths.extend(inside(&entry.path()).map(|entry| entry.path()));
        }
        for path in paths {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.uid() != self.uid {
                let (data, owner, user) = (data.to_owned(), metadata.uid(), self.name.clone());
                return Err(PrivilegesError::ForeignOwner { data, owner, path, user });
            }
        }
        Ok(())
    }

    /// Becomes this user, if the process is root; for ever.
    fn become_it(&self) -> Result<(), PrivilegesError> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if geteuid() == uid {
            return Ok(());
        }
        set_thread_groups(&[]).map_err(system("leave the groups of root"))?;
        set_thread_res_gid(gid, gid, gid).map_err(system("take on the group"))?;
        set_thread_res_uid(uid, uid, uid).map_err(system("take on the user"))?;
        if set_thread_uid(Uid::ROOT).is_ok() {
            return Err(PrivilegesError::Kept);
        }
        Ok(())
    }
}

/// The fields after name and password of a line that begins with `name`.
fn entry<'a>(lines: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let line = lines.lines().find(|line| line.split(':').next() == Some(name))?;
    Some(line.split(':').skip(2).collect())
}

/// Who the process is from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Root still, because nobody was named whom it could become. It keeps the right to read any file, which whoever runs
    /// as root counts on, as far as Landlock lets it.
    Root,
    User {
        uid: u32,
    },
}

/// Becomes the user, if one is given, and gives up every capability and the way to new ones.
pub(crate) fn shed(account: Option<&Account>) -> Result<Standing, PrivilegesError> {
    // Kernels without ambient capabilities (before Linux 4.3) have none to clear.
    let _ = clear_ambient_capability_set();
    empty_bounding_set()?;
    if let Some(account) = account {
        account.become_it()?;
    }
    let is_root = geteuid().is_root();
    let kept = if is_root { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::empty() };
    let had = capabilities(None).map_err(system("read the capabilities"))?;
    let left = CapabilitySets {
        effective: had.effective & kept,
        permitted: had.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    // Without any to give up the call is not made: a service manager may have forbidden it.
    if had != left {
        set_capabilities(None, left).map_err(system("give up the capabilities"))?;
    }
    set_no_new_privs(true).map_err(system("forbid new privileges"))?;
    Ok(if is_root { Standing::Root } else { Standing::User { uid: geteuid().as_raw() } })
}

/// What a program that is run later could get back. Only those with CAP_SETPCAP can empty it; for the others, and they
/// will run no program, that no new privileges are allowed has the same effect.
fn empty_bounding_set() -> Result<(), PrivilegesError> {
    for bit in 0..CAPABILITIES_MAX {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(capability) {
            Ok(false) => continue,
            Ok(true) => {}
            // Past the last one that the kernel knows.
            Err(_) => break,
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(Errno::PERM) => break,
            Err(error) => return Err(system("empty the bounding set")(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/bash\nstrong:x:990:991::/:/bin/false\n77:x:5:6:::\nodd:x:\n";
    const GROUPS: &str = "root:x:0:\nstrong:x:991:\nkeys:x:44:strong\n";

    fn find(user: &str, group: &str) -> Result<(u32, u32), String> {
        let found = Account::among(USERS, GROUPS, user, group);
        found.map(|account| (account.uid, account.gid)).map_err(|error| error.to_string())
    }

    #[test]
    fn unknown_users_and_groups_are_refused_with_the_way_out() {
        for (user, group) in [("nobody-here", ""), ("odd", ""), ("stron", ""), ("", ""), ("4294967295", "4")]
        {
            assert!(find(user, group).unwrap_err().starts_with(&format!("there is no user `{user}`")));
        }
        assert!(find("990", "").unwrap_err().contains("`--group`"));
        assert!(find("strong", "locks").unwrap_err().contains("`groupadd --system locks`"));
        assert!(matches!(Account::find("root", ""), Err(PrivilegesError::Root)));
        assert!(matches!(Account::find("0", "0"), Err(PrivilegesError::Root)));
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_by_number() {
        assert_eq!(find("strong", ""), Ok((990, 991)));
        assert_eq!(find("strong", "keys"), Ok((990, 44)));
        assert_eq!(find("strong", "1234"), Ok((990, 1234)));
        assert_eq!(find("990", "keys"), Ok((990, 44)));
        // A name that is a number is a name.
        assert_eq!(find("77", ""), Ok((5, 6)));
    }

    #[test]
    fn data_of_somebody_else_are_refused_and_the_first_such_file_is_named() {
        let directory = ScratchDirectory::new();
        let data = directory.path().join("data");
        fs::create_dir_all(data.join("journal")).unwrap();
        fs::write(data.join("journal/1"), "x").unwrap();
        let own = geteuid().as_raw();
        let account = |uid| Account { gid: 1, name: "strong".to_owned(), uid };
        let refused = account(own + 1).check_owner(&data).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("run `chown -R strong: {}`", data.display())), "{refused}");
        account(own).check_owner(&data).unwrap();
        if own == 0 {
            fs::create_dir(data.join("lost+found")).unwrap();
            std::os::unix::fs::chown(data.join("lost+found"), Some(7), None).unwrap();
            account(own).check_owner(&data).unwrap();
            std::os::unix::fs::chown(data.join("journal/1"), Some(7), None).unwrap();
            let refused = account(own).check_owner(&data).unwrap_err().to_string();
            assert!(refused.contains("journal/1` belongs to user 7"), "{refused}");
        }
    }
}
