//! What the operating system says about this process; unknown where it has no `/proc`.

use std::fs;
use std::net::SocketAddr;

/// Memory and CPU time of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// The most resident memory so far in bytes.
    pub peak_bytes: Option<u64>,
    /// User and system time in seconds, to 10 ms.
    pub cpu_seconds: Option<f64>,
}

/// The name of this machine; `?` where the system does not say.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    match name.as_deref().map(str::trim) {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => "?".to_owned(),
    }
}

/// The user of this machine that the process runs as: by name, or by number where `/etc/passwd` has none.
pub fn user() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_of(&status, &users).unwrap_or_else(|| "?".to_owned())
}

fn user_of(status: &str, users: &str) -> Option<String> {
    // Real, effective, saved and that of the file system (proc(5)).
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let id = ids.split_whitespace().nth(1)?;
    let mut users = users.lines().map(|line| line.split(':'));
    let name = users.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| id.to_owned()))
}

impl Process {
    /// Asks now.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self::read(&status, &stat)
    }

    fn read(status: &str, stat: &str) -> Self {
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let number = line.trim().strip_suffix(" kB")?;
            Some(number.trim().parse::<u64>().ok()? * 1024)
        };
        // The name in parentheses may hold anything; utime and stime are fields 14 and 15 (proc(5)),
        // in ticks of 10 ms on every Linux that Isobar is built for.
        let ticks = stat.rsplit_once(')').and_then(|(_, fields)| {
            let mut fields = fields.split_whitespace().skip(11);
            let mut field = || fields.next()?.parse::<u64>().ok();
            Some(field()? + field()?)
        });
        Self {
            resident_bytes: kib("VmRSS:"),
            peak_bytes: kib("VmHWM:"),
            cpu_seconds: ticks.map(|ticks| ticks as f64 / 100.0),
        }
    }
}

/// Tells this process apart from other copies of the program: the machine's name, with the port that the
/// process listens at or, without one, its number.
pub fn instance(address: Option<SocketAddr>) -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = match name.trim() {
        "" => "localhost",
        name => name,
    };
    let number = address.map_or_else(std::process::id, |address| address.port().into());
    format!("{name}:{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_unknown() {
        assert_eq!(Process::read("", ""), Process::default());
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let stat = "1 (a) b) S 0 0 0 0 0 0 0 0 0 0 150 50 0";
        let read = Process::read(status, stat);
        assert_eq!(
            (read.resident_bytes, read.peak_bytes, read.cpu_seconds),
            (Some(1 << 20), Some(2 << 20), Some(2.0))
        );
    }

    #[test]
    fn a_user_is_a_name_or_a_number() {
        let status = "Name:\ta\nUid:\t0\t1000\t1000\t1000\n";
        let users = "root:x:0:0:root:/root:/bin/sh\nops:x:1000:1000::/home/ops:/bin/sh\n";
        assert_eq!(user_of(status, users).as_deref(), Some("ops"));
        assert_eq!(user_of(status, "").as_deref(), Some("1000"));
        assert_eq!(user_of("", users), None);
    }

    #[test]
    fn copies_of_the_program_have_different_names() {
        let of = |port| instance(Some(SocketAddr::from(([127, 0, 0, 1], port))));
        assert!(of(1).ends_with(":1"));
        assert_eq!(
            of(1).split_once(':').map(|(name, _)| name.is_empty()),
            Some(false)
        );
        assert_ne!(of(1), of(2));
        assert!(instance(None).ends_with(&format!(":{}", std::process::id())));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_known() {
        let now = Process::now();
        assert!(now.resident_bytes.is_some_and(|bytes| bytes > 1 << 16));
        assert!(now.peak_bytes >= now.resident_bytes && now.cpu_seconds.is_some());
    }
}
