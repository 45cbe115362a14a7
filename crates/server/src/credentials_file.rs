//! The shared-credentials file of the root directory: AWS's format, of which one profile at a time is replaced.
//!
//! Everything outside that profile stays byte for byte, for whoever has added profiles or settings of their own. The
//! file is written anew beside itself, readable by its owner alone, synced, and renamed: readers see the old file or the
//! new one. A draft that was never installed (the process was killed) is overwritten by the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use strongroom_types::limits::CREDENTIALS_FILE_BYTES_MAX;
use zeroize::Zeroizing;

use crate::initialise::NewCredential;

/// The account's root user.
pub(crate) const PROFILE_ROOT: &str = "default";
/// The deployment's operator.
pub(crate) const PROFILE_OPERATOR: &str = "operator";

/// The file as it is to be, on the disk under another name.
#[derive(Debug)]
#[must_use = "the file is replaced by `install`"]
pub(crate) struct CredentialsDraft {
    draft: PathBuf,
    path: PathBuf,
}

impl CredentialsDraft {
    /// Writes the file's new content, in which `profile` is this credential, to the disk. Nothing is replaced yet.
    pub(crate) fn write(path: &Path, profile: &str, credential: &NewCredential) -> io::Result<Self> {
        let text = with_profile(&read(path)?, profile, credential);
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        // One that was left over may have been made with other rights.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(&text)?;
        file.sync_all()?;
        Ok(Self { draft, path: path.to_owned() })
    }

    /// Puts the draft in the file's place.
    pub(crate) fn install(self) -> io::Result<()> {
        fs::rename(&self.draft, &self.path)?;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Whether the file names this access key in any profile. A file that cannot be read names none.
pub(crate) fn names_access_key(path: &Path, access_key_id: &str) -> bool {
    let named = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        line.split_once('=').is_some_and(|(_, value)| value.trim() == access_key_id)
    };
    read(path).is_ok_and(|text| lines(&text).any(named))
}

/// The file's bytes; nothing if there is no file.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Zeroizing::new(Vec::new())),
        Err(error) => return Err(error),
    };
    // Of its final size from the start: growing would leave an unwiped copy behind.
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(CREDENTIALS_FILE_BYTES_MAX);
    let mut text = Zeroizing::new(Vec::with_capacity(size + 1));
    let limit = u64::try_from(CREDENTIALS_FILE_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_end(&mut text)?;
    if text.len() > CREDENTIALS_FILE_BYTES_MAX {
        let problem = format!("it is larger than {CREDENTIALS_FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

/// `text` with this credential as its profile: in the place of the one that is there, or at the end. Of a profile that
/// is there only the lines of the access key are exchanged; comments and settings stay.
fn with_profile(text: &[u8], profile: &str, credential: &NewCredential) -> Zeroizing<Vec<u8>> {
    let room = text.len() + profile.len() + credential.secret.len() + 256;
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    let header = format!("[{profile}]");
    let (mut is_inside, mut is_written) = (false, false);
    for line in lines(text) {
        let trimmed = line.trim_ascii();
        if trimmed.starts_with(b"[") {
            is_inside = trimmed == header.as_bytes();
            // A profile that stands there twice is one mistake already; its second copy loses its key.
            if is_inside && !is_written {
                push_line(&mut out, line);
                push_credential(&mut out, credential);
                is_written = true;
                continue;
            }
        }
        if !(is_inside && is_access_key_line(trimmed)) {
            push_line(&mut out, line);
        }
    }
    if !is_written {
        push_line(&mut out, header.as_bytes());
        push_credential(&mut out, credential);
    }
    out
}

fn is_access_key_line(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    matches!(name, b"aws_access_key_id" | b"aws_secret_access_key" | b"aws_session_token")
}

fn push_credential(out: &mut Vec<u8>, credential: &NewCredential) {
    out.extend_from_slice(b"aws_access_key_id = ");
    push_line(out, credential.access_key_id.as_str().as_bytes());
    out.extend_from_slice(b"aws_secret_access_key = ");
    push_line(out, credential.secret.expose());
}

fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// The lines without their ends; a last one without an end counts.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let is_empty = text.is_empty();
    text.split(|byte| *byte == b'\n').filter(move |_| !is_empty)
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::scratch::ScratchDirectory;
    use strongroom_types::{AccessKeyId, Credential};

    use super::*;

    fn credential(id: &str, secret: &str) -> NewCredential {
        let access_key_id = AccessKeyId::parse(id).unwrap();
        NewCredential { access_key_id, secret: Credential::new(secret.as_bytes().to_vec()) }
    }

    fn put(text: &str, profile: &str) -> String {
        let new = with_profile(text.as_bytes(), profile, &credential("AKIANEWNEWNEWNEWNEW1", "new+secret"));
        String::from_utf8(new.to_vec()).unwrap()
    }

    const NEW: &str = "aws_access_key_id = AKIANEWNEWNEWNEWNEW1\naws_secret_access_key = new+secret\n";

    #[test]
    fn one_byte_past_the_limit_is_refused() {
        let directory = ScratchDirectory::new();
        let path = directory.path().join("credentials");
        let new = credential("AKIANEWNEWNEWNEWNEW1", "s");
        fs::write(&path, vec![b'#'; CREDENTIALS_FILE_BYTES_MAX + 1]).unwrap();
        assert!(CredentialsDraft::write(&path, "default", &new).is_err());
        fs::write(&path, vec![b'#'; CREDENTIALS_FILE_BYTES_MAX]).unwrap();
        CredentialsDraft::write(&path, "default", &new).unwrap().install().unwrap();
    }

    #[test]
    fn a_draft_replaces_nothing_before_it_is_installed() {
        let directory = ScratchDirectory::new();
        let path = directory.path().join("credentials");
        fs::write(&path, "[default]\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        // A leftover that others may read does not lend its rights to the new file.
        fs::write(directory.path().join("credentials.new"), "old").unwrap();
        let draft =
            CredentialsDraft::write(&path, "default", &credential("AKIANEWNEWNEWNEWNEW1", "new+secret"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "[default]\n");
        draft.unwrap().install().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("[default]\n{NEW}"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!directory.path().join("credentials.new").exists());
    }

    #[test]
    fn a_new_profile_comes_to_the_end() {
        assert_eq!(put("", "default"), format!("[default]\n{NEW}"));
        assert_eq!(put("[a]\nx = 1", "b"), format!("[a]\nx = 1\n[b]\n{NEW}"));
    }

    #[test]
    fn only_the_profiles_access_key_is_exchanged() {
        let before = "# mine\n[default]\naws_access_key_id=AKIAOLD\nregion = us-east-1\naws_secret_access_key = old\n\n\
                      [operator]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n";
        let after = format!(
            "# mine\n[default]\n{NEW}region = us-east-1\n\n\
             [operator]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n"
        );
        assert_eq!(put(before, "default"), after);
        assert_eq!(put(&after, "default"), after);
    }

    #[test]
    fn a_file_says_which_access_keys_it_names() {
        let directory = ScratchDirectory::new();
        let path = directory.path().join("credentials");
        assert!(!names_access_key(&path, "AKIAOLD"));
        fs::write(&path, "[default]\naws_access_key_id = AKIAOLD\n").unwrap();
        assert!(names_access_key(&path, "AKIAOLD"));
        assert!(!names_access_key(&path, "AKIAOL"));
    }
}
