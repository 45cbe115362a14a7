//! The rules of the kernel, tried by processes that live under them: this test binary, started again.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};

use rustix::process::{Signal, getpid, getppid, kill_process};
use rustix::thread::set_thread_uid;
use strongroom_testkit::scratch::ScratchDirectory;

use super::calls::confine_calls;
use super::files::{Enforced, Reach, confine_files};
use crate::assembly::Places;
use crate::config::{AttestationConfig, TlsConfig};

/// Says to the test below what it is to try, and where.
const ORDER: &str = "STRONGROOM_TEST_ORDER";
const SIGSYS: i32 = 31;

/// Runs a try under the rules, in a process of its own, and returns how that ended.
fn run(order: &str, directory: &Path) -> ExitStatus {
    let this = std::env::current_exe().unwrap();
    let name = "hardening::confinement::a_process_is_free_until_it_confines_itself";
    let mut command = Command::new(this);
    command.args(["--exact", name, "--test-threads=1", "--nocapture"]);
    let output = command.env(ORDER, format!("{order} {}", directory.display())).output().unwrap();
    // Shown when the test fails.
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output.status
}

/// In the process that the tests run in: nothing is confined. In those that [`run`] starts: they confine themselves and try.
#[test]
fn a_process_is_free_until_it_confines_itself() {
    let Some(order) = std::env::var_os(ORDER) else {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains("Seccomp:\t0\n"), "{status}");
        assert!(fs::File::open("/etc/passwd").is_ok());
        return;
    };
    let order = order.into_string().unwrap();
    let (order, directory) = order.split_once(' ').unwrap();
    carry_out(order, Path::new(directory));
}

fn carry_out(order: &str, directory: &Path) {
    let places = Places::new(&directory.join("data"), None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files = || {
        let reach = Reach::new(
            &places,
            &TlsConfig::default(),
            &AttestationConfig::default(),
            Some(&directory.join("log/log")),
            None,
        );
        assert_eq!(confine_files(&reach).unwrap(), Enforced::Wholly);
    };
    let calls = || confine_calls().unwrap();
    match order {
        "files" => {
            files();
            foreign_files_and_ports_are_refused(directory, &listener);
        }
        "calls" => {
            calls();
            unknown_calls_are_refused(address);
        }
        "work" => {
            let client = TcpStream::connect(address).unwrap();
            files();
            calls();
            a_servers_work_goes_on(&places, &listener, client);
        }
        "exec" => {
            calls();
            panic!("{}", Command::new("/bin/true").exec());
        }
        "user" => {
            calls();
            panic!("{:?}", set_thread_uid(rustix::process::getuid()));
        }
        "chroot" => {
            calls();
            panic!("{:?}", rustix::process::chroot("/"));
        }
        _ => panic!("{order}"),
    }
}

fn foreign_files_and_ports_are_refused(directory: &Path, listener: &TcpListener) {
    let denied =
        |outcome: Result<(), std::io::Error>| outcome.unwrap_err().kind() == ErrorKind::PermissionDenied;
    assert!(denied(fs::read("/etc/passwd").map(drop)));
    assert!(denied(fs::read_dir("/").map(drop)));
    assert!(denied(fs::write(directory.join("beside"), "x")));
    let root = directory.join("data.root");
    // What lies beside the anchor is not for reading, and neither is the log.
    assert!(denied(fs::read(root.join("root.key")).map(drop)));
    assert!(denied(fs::read(directory.join("log/log")).map(drop)));
    // To another directory, which is refused as if it were on another disk.
    let moved = fs::rename(root.join("root.key"), directory.join("data/root.key"));
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::CrossesDevices);
    assert!(denied(std::os::unix::fs::symlink("/etc", directory.join("data/link"))));
    assert!(denied(TcpListener::bind("127.0.0.1:0").map(drop)));
    assert!(denied(TcpStream::connect(listener.local_addr().unwrap()).map(drop)));
    assert!(denied(Command::new("/bin/true").spawn().map(drop)));
    // What is in reach is in reach, also where it is a link.
    crate::anchor::replace(&directory.join("data/journal/1"), b"record").unwrap();
    assert_eq!(fs::read(directory.join("elsewhere/1")).unwrap(), b"record");
    assert_eq!(fs::read(root.join("anchor")).unwrap(), b"anchor");
    assert!(denied(fs::write(directory.join("log/log"), "shorter")));
    fs::File::options().append(true).create(true).open(directory.join("log/log")).unwrap();
    crate::anchor::replace(&root.join("anchor"), b"newer").unwrap();
}

fn unknown_calls_are_refused(address: std::net::SocketAddr) {
    let unknown = |error: std::io::Error| error.raw_os_error() == Some(libc::ENOSYS);
    assert!(unknown(TcpListener::bind("127.0.0.1:0").unwrap_err()));
    assert!(unknown(TcpStream::connect(address).unwrap_err()));
    // A new process, before it could run anything.
    assert!(unknown(Command::new("/bin/true").spawn().unwrap_err()));
    assert!(unknown(kill_process(getppid().unwrap(), Signal::WINCH).unwrap_err().into()));
    assert!(unknown(kill_process(getpid(), Signal::WINCH).unwrap_err().into()));
    assert!(unknown(memmap2::MmapMut::map_anon(4096).unwrap().make_exec().unwrap_err()));
    assert!(unknown(std::os::unix::fs::symlink("a", "b").unwrap_err()));
    let limit = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let refused = rustix::process::setrlimit(rustix::process::Resource::Core, limit);
    assert!(unknown(refused.unwrap_err().into()));
    let dumpable = rustix::process::DumpableBehavior::Dumpable;
    assert!(unknown(rustix::process::set_dumpable_behavior(dumpable).unwrap_err().into()));
}

fn a_servers_work_goes_on(places: &Places, listener: &TcpListener, mut client: TcpStream) {
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let data = places.data.clone();
            let name = format!("strongroom-{n}");
            let work = move || crate::anchor::replace(&data.join(format!("file-{n}")), &[n; 100]).unwrap();
            std::thread::Builder::new().name(name).spawn(work).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let (mut served, _) = listener.accept().unwrap();
    served.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    std::io::Read::read_exact(&mut client, &mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    // A panic is caught and its thread ends; a runtime starts; memory comes and goes.
    assert!(std::thread::spawn(|| panic!("meant")).join().is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let doubled = runtime.block_on(async { tokio::task::spawn_blocking(|| 21 * 2).await.unwrap() });
    assert_eq!(doubled, 42);
    assert_eq!(vec![1_u8; 50_000_000].len(), 50_000_000);
    assert_ne!(strongroom_crypto::random_id().unwrap(), [0; 16]);
}

fn scene() -> ScratchDirectory {
    let directory = ScratchDirectory::new();
    for inside in ["data", "data.root", "log", "elsewhere"] {
        fs::create_dir(directory.path().join(inside)).unwrap();
    }
    std::os::unix::fs::symlink("../elsewhere", directory.path().join("data/journal")).unwrap();
    for file in ["data.root/root.key", "data.root/anchor", "log/log"] {
        fs::write(directory.path().join(file), Path::new(file).file_name().unwrap().as_encoded_bytes())
            .unwrap();
    }
    directory
}

#[test]
fn files_out_of_reach_and_new_ports_are_refused() {
    assert_eq!(run("files", scene().path()).code(), Some(0));
}

#[test]
fn calls_that_are_not_on_the_list_are_refused() {
    assert_eq!(run("calls", scene().path()).code(), Some(0));
}

#[test]
fn an_intruders_calls_end_the_process() {
    for order in ["exec", "user", "chroot"] {
        assert_eq!(run(order, scene().path()).signal(), Some(SIGSYS), "{order}");
    }
}

#[test]
fn under_both_a_servers_work_goes_on() {
    assert_eq!(run("work", scene().path()).code(), Some(0));
}
