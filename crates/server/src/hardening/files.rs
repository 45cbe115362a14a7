//! Landlock: the files that the process may touch from now on, and that it may neither listen on nor connect to a port.
//!
//! Rights are given by directory (landlock(7)), because files here are replaced under their names. What is open already is
//! not asked again: listeners, the log, standard error. The root key's file is not among what may be read: it was read
//! before.
//!
//! The rules hold for the calling thread and for those it starts, so they are laid down before any other thread runs. A
//! kernel that knows only a part of them enforces that part, and the log says so.

use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use crate::assembly::Places;
use crate::config::{AttestationConfig, TlsConfig};

/// What is handled, and so refused where no rule allows it: as of Linux 6.12.
const HANDLED: ABI = ABI::V6;

/// What the store, the journal, the log of strangers and the reserve need.
const DATA: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile});
/// To write a file aside, sync it, rename it into place, and sync the directory.
const REPLACE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadDir | WriteFile | Truncate | MakeReg | RemoveFile});
const APPEND: BitFlags<AccessFs> = make_bitflags!(AccessFs::{WriteFile | MakeReg});
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile});
const REMOVE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{RemoveFile});

/// The files that the server still needs once it serves.
#[derive(Debug, Default)]
pub(crate) struct Reach(Vec<(PathBuf, BitFlags<AccessFs>)>);

impl Reach {
    pub(crate) fn new(
        places: &Places,
        tls: &TlsConfig,
        attestation: &AttestationConfig,
        log_file: Option<&Path>,
        unseal_socket: Option<&Path>,
    ) -> Self {
        let mut reach = Self::default();
        reach.allow(&places.data, DATA);
        reach.allow_links_in(&places.data);
        let anchor = places.anchor();
        reach.allow(&parent(&anchor), REPLACE);
        // The anchor as it is now; a sealed server reads it when its passphrase has come. Not what lies beside it.
        reach.allow(&anchor, READ);
        let tls = [&tls.certificate, &tls.key, &tls.client_ca].into_iter().flatten();
        for path in tls.chain(&attestation.roots) {
            reach.allow(&parent(path), READ);
            // What is named may be a link to another directory, in which the next certificate will lie as well.
            if let Ok(path) = path.canonicalize() {
                reach.allow(&parent(&path), READ);
            }
        }
        if let Some(path) = log_file {
            reach.allow(&parent(path), APPEND);
        }
        if let Some(path) = unseal_socket {
            reach.allow(&parent(path), REMOVE);
        }
        // SQLite draws a seed there.
        reach.allow(Path::new("/dev/urandom"), READ);
        reach
    }

    /// An operator may have put the journal, or the store, on another disk and left a link in its place.
    fn allow_links_in(&mut self, data: &Path) {
        for entry in fs::read_dir(data).into_iter().flatten().flatten() {
            if let Ok(target) = entry.path().canonicalize()
                && entry.file_type().is_ok_and(|kind| kind.is_symlink())
            {
                let directory = if target.is_dir() { target } else { parent(&target) };
                self.allow(&directory, DATA);
            }
        }
    }

    fn allow(&mut self, path: &Path, rights: BitFlags<AccessFs>) {
        self.0.push((path.to_owned(), rights));
    }
}

fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// How much of the rules the kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enforced {
    Nothing,
    Partly,
    Wholly,
}

/// Refuses every file but those in reach, every new port and every connection, to this thread and those it starts.
pub(crate) fn confine_files(reach: &Reach) -> Result<Enforced, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(HANDLED))?
        .handle_access(AccessNet::from_all(HANDLED))?
        .scope(Scope::from_all(HANDLED))?
        .create()?;
    for (path, rights) in &reach.0 {
        // What is not there, or not for this user, cannot be allowed; whoever needs it will say so.
        if let Ok(place) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(place, *rights))?;
        }
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Enforced::Wholly,
        RulesetStatus::NotEnforced => Enforced::Nothing,
        RulesetStatus::PartiallyEnforced => Enforced::Partly,
    })
}
