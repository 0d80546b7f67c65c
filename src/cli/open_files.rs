//! How many files and connections the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What POSIX systems grant at least, more or less; taken where the system does not say.
const USUAL: u64 = 1_024;

/// Raises the limit to the most that the system allows this process, and gives what it is then.
pub fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return USUAL };
    if soft >= hard {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised; it stays at {soft}");
            soft
        }
    }
}
