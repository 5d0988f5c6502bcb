//! An Elasticsearch or OpenSearch of one's own: one server on the loopback address, in any of the
//! versions that Isobar is tested against. Its indices are asked through [`SearchClient`].

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{START_LIMIT, STOP_LIMIT, SearchClient, fetched, jdk};
use crate::process::{Launch, Process, give_to_unprivileged, unprivileged_can_read};
use crate::scratch::Scratch;
use crate::{ports, wait};

/// The products and versions that are tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchVersion {
    /// Elasticsearch 8.19.0
    Elasticsearch8,
    /// Elasticsearch 9.2.0
    Elasticsearch9,
    /// OpenSearch 2.19.0
    OpenSearch2,
    /// OpenSearch 3.3.0
    OpenSearch3,
}

impl SearchVersion {
    /// All of them, in the order of `tests/services.list`.
    pub const ALL: [Self; 4] = [
        Self::Elasticsearch8,
        Self::Elasticsearch9,
        Self::OpenSearch2,
        Self::OpenSearch3,
    ];

    /// Where `tests/run fetch` puts it; also its name in what is printed.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Elasticsearch8 => "elasticsearch-8.19.0",
            Self::Elasticsearch9 => "elasticsearch-9.2.0",
            Self::OpenSearch2 => "opensearch-2.19.0",
            Self::OpenSearch3 => "opensearch-3.3.0",
        }
    }

    /// The Java versions it runs on. OpenSearch 2 needs the Security Manager, which Java 24 removed.
    fn java(self) -> RangeInclusive<u32> {
        match self {
            Self::Elasticsearch8 => 17..=99,
            Self::OpenSearch2 => 17..=23,
            Self::Elasticsearch9 | Self::OpenSearch3 => 21..=99,
        }
    }

    fn product(self) -> &'static str {
        match self {
            Self::Elasticsearch8 | Self::Elasticsearch9 => "elasticsearch",
            Self::OpenSearch2 | Self::OpenSearch3 => "opensearch",
        }
    }
}

/// The users of a server that [has some](Search::start_guarded): one that may do everything, one that
/// may index into `open-*` and index into and look at `seen-*`, one that may do nothing.
pub const USERS: [&str; 3] = ["admin", "writer", "nobody"];

/// The password of each.
pub const PASSWORD: &str = "test-password";

const GUARDED: &[(&str, &str)] = &[
    ("xpack.security.http.ssl.enabled", "false"),
    ("xpack.security.transport.ssl.enabled", "false"),
];

/// Files beside the configuration. The password is stored as PBKDF2 with 10,000 rounds of SHA-512.
const USER_FILES: &[(&str, &str)] = &[
    (
        "users",
        "admin:{PBKDF2}10000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=$aAgVjm5gh4hByKwmEyNJ/nyPO5Xj1kX7AMXLfnDSLJc=\n\
         writer:{PBKDF2}10000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=$aAgVjm5gh4hByKwmEyNJ/nyPO5Xj1kX7AMXLfnDSLJc=\n\
         nobody:{PBKDF2}10000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=$aAgVjm5gh4hByKwmEyNJ/nyPO5Xj1kX7AMXLfnDSLJc=\n",
    ),
    ("users_roles", "superuser:admin\nwriting:writer\n"),
    (
        "roles.yml",
        "writing:\n  indices:\n    - names: ['open-*']\n      privileges: ['create_doc', 'auto_configure']\n    \
         - names: ['seen-*']\n      privileges: ['create_doc', 'auto_configure', 'read', 'view_index_metadata']\n",
    ),
];

/// A running server. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Search {
    // Before the directory, so that the server is gone when its data goes.
    process: Process,
    version: SearchVersion,
    client: SearchClient,
    _scratch: Scratch,
}

impl Search {
    /// Starts a server and waits until it answers and can hold indices. Slow: 8 to 25 s.
    pub fn start(version: SearchVersion) -> Result<Self> {
        Self::start_with(version, &[])
    }

    /// Starts a server with further settings, such as `("http.max_content_length", "1mb")`.
    pub fn start_with(version: SearchVersion, settings: &[(&str, &str)]) -> Result<Self> {
        Self::launch(version, settings, &[])
    }

    /// The same, with [`USERS`] where the distribution has them, which those of Elasticsearch do. The
    /// client of this server is the first of them.
    pub fn start_guarded(version: SearchVersion, settings: &[(&str, &str)]) -> Result<Self> {
        if version.product() != "elasticsearch" {
            return Self::start_with(version, settings);
        }
        let mut settings = settings.to_vec();
        settings.extend_from_slice(GUARDED);
        Self::launch(version, &settings, USER_FILES)
    }

    fn launch(
        version: SearchVersion,
        settings: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Self> {
        let java = jdk::find(version.java())?;
        let scratch = Scratch::new(version.directory())?;
        let home = readable_home(&fetched(version.directory())?, version, &scratch)?;
        let port = ports::free()?;
        let configuration = configure(version, &home, &scratch, port, settings)?;
        for (name, text) in files {
            let _ = scratch.file(&format!("config/{name}"), text)?;
        }
        let temporary = scratch.directory("tmp")?;
        give_to_unprivileged(scratch.path())?;

        let product = version.product();
        let prefix = if product == "elasticsearch" {
            "ES"
        } else {
            "OPENSEARCH"
        };
        let launch = Launch::new(
            home.join("bin").join(product),
            &scratch.path().join("server.log"),
        )
        .environment(format!("{prefix}_JAVA_HOME"), java)
        .environment(format!("{prefix}_PATH_CONF"), configuration)
        .environment(format!("{prefix}_TMPDIR"), &temporary)
        .environment("HOME", &temporary)
        .directory(scratch.path())
        .not_as_root();
        let process = Process::start(launch)?;
        let address = format!("127.0.0.1:{port}");
        let client = match files {
            [] => SearchClient::new(&address),
            _ => SearchClient::new(&format!("{}:{PASSWORD}@{address}", USERS[0])),
        };
        let mut search = Self {
            process,
            version,
            client,
            _scratch: scratch,
        };
        search.wait_until_ready()?;
        Ok(search)
    }

    /// Its product and version.
    pub fn version(&self) -> SearchVersion {
        self.version
    }

    /// `http://` and its address. Stays the same over restarts.
    pub fn url(&self) -> String {
        let address = self.client.address();
        let host = address.rsplit('@').next().unwrap_or(address);
        format!("http://{host}")
    }

    /// A client of this server, apart from the program under test.
    pub fn client(&self) -> &SearchClient {
        &self.client
    }

    /// The program, for its log. For Elasticsearch this is its launcher, so memory and CPU time are not
    /// the server's.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends the server in an orderly way and waits for that; its data stays for
    /// [`restart`](Self::restart).
    pub fn stop(&mut self) -> Result<()> {
        // Java ends with 143 after SIGTERM, and an orderly end is in the log only.
        self.process.stop(STOP_LIMIT).map(drop)
    }

    /// Kills the server (SIGKILL).
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts the server again, on the same port and data, and waits until it answers. It is stopped
    /// first if it runs.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.id().is_some() {
            self.stop()?;
        }
        self.process.start_again()?;
        self.wait_until_ready()
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let Self {
            process,
            client,
            version,
            ..
        } = self;
        wait::until(
            &format!("first answer of {}", version.directory()),
            START_LIMIT,
            || {
                process.check_running()?;
                client.check_health(Duration::from_secs(2))
            },
        )
        .map_err(|error| error.context(process.log_tail()))
    }
}

/// The distribution itself where the user that runs it can read it, else a copy that it can read: a
/// checkout may lie in root's own directory.
fn readable_home(home: &Path, version: SearchVersion, scratch: &Scratch) -> Result<PathBuf> {
    if unprivileged_can_read(&home.join("bin").join(version.product()))? {
        return Ok(home.to_owned());
    }
    let copy = scratch.path().join("home");
    let status = Command::new("cp").arg("-a").arg(home).arg(&copy).status()?;
    if !status.success() {
        bail!("cannot copy {} to {}", home.display(), copy.display());
    }
    Ok(copy)
}

/// Writes a configuration directory from the distribution's own and returns its path.
fn configure(
    version: SearchVersion,
    home: &Path,
    scratch: &Scratch,
    port: u16,
    settings: &[(&str, &str)],
) -> Result<PathBuf> {
    let directory = scratch.directory("config")?;
    let heap = scratch
        .directory("config/jvm.options.d")?
        .join("heap.options");
    std::fs::write(heap, "-Xms512m\n-Xmx512m\n")?;
    for entry in std::fs::read_dir(home.join("config"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let _ = std::fs::copy(entry.path(), directory.join(entry.file_name()))?;
        }
    }
    let jvm = std::fs::read_to_string(home.join("config/jvm.options")).context("no jvm.options")?;
    let _ = scratch.file("config/jvm.options", &without_gc_log(&jvm))?;

    let transport = ports::free()?;
    let mut text = format!(
        "cluster.name: isobar-tests\nnode.name: one\ndiscovery.type: single-node\n\
         network.host: 127.0.0.1\nhttp.port: {port}\ntransport.port: {transport}\n\
         path.data: {0}/data\npath.logs: {0}/logs\n\
         cluster.routing.allocation.disk.threshold_enabled: false\n",
        scratch.path().display()
    );
    if version.product() == "elasticsearch" {
        let guarded = settings.ends_with(GUARDED);
        text += &format!("xpack.security.enabled: {guarded}\n");
        text += "xpack.security.autoconfiguration.enabled: false\n";
    }
    for (name, value) in settings {
        text += &format!("{name}: {value}\n");
    }
    let _ = scratch.file(&format!("config/{}.yml", version.product()), &text)?;
    Ok(directory)
}

/// Garbage collection logs and crash files go to paths under the distribution, which is read-only here.
fn without_gc_log(options: &str) -> String {
    let unwanted = [
        "Xlog:gc",
        "-XX:ErrorFile",
        "-XX:HeapDumpPath",
        "Xloggc",
        "-XX:+HeapDumpOnOutOfMemoryError",
    ];
    let kept = options
        .lines()
        .filter(|line| !unwanted.iter().any(|word| line.contains(word)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_write_below_the_distribution_are_left_out() {
        let options =
            "-XX:+UseG1GC\n9-:-Xlog:gc*:file=logs/gc.log\n-XX:ErrorFile=logs/hs.log\n-Da=b\n";
        assert_eq!(without_gc_log(options), "-XX:+UseG1GC\n-Da=b\n");
    }
}
