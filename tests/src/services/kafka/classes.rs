//! An archive of the classes that a broker loads (application class-data sharing, JEP 350): with it a broker is up in
//! half the time, for half the processor time. The tests start some sixty.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::node::{self, Ports, Programs};
use super::{KafkaClient, START_LIMIT, unique_id};
use crate::scratch::Scratch;
use crate::wait;

/// A JVM that did not write it, or looks for other jar files, does without.
const ARCHIVE: &str = "broker.jsa";

/// How long a broker may take to end and to write its classes.
const DUMP_LIMIT: Duration = Duration::from_secs(120);

/// The archive of a distribution. Whoever asks first makes it, by a broker that starts and ends; others wait.
pub(super) fn archive(java: &Path, home: &Path) -> Result<PathBuf> {
    let archive = home.join(ARCHIVE);
    if archive.exists() {
        return Ok(archive);
    }
    let lock = home.join("broker.lock");
    let lock = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    lock.lock()?;
    if !archive.exists() {
        let part = home.join("broker.jsa.part");
        let dump = format!("-XX:ArchiveClassesAtExit={}", part.display());
        let programs = Programs::new(java, home, dump);
        start_and_end(&programs)?;
        std::fs::rename(&part, &archive)
            .with_context(|| format!("the broker has not written {}", part.display()))?;
    }
    Ok(archive)
}

fn start_and_end(programs: &Programs) -> Result<()> {
    let scratch = Scratch::new("kafka-classes")?;
    let ports = Ports::free()?;
    let settings = node::settings(1, &[ports], &scratch);
    let mut broker = programs.start(&scratch, &unique_id(), 1, &settings)?;
    let client = KafkaClient::new(ports.address());
    wait::until("an answer of the first broker", START_LIMIT, || {
        broker.check_running()?;
        client.check_answers(1, Duration::from_secs(2))
    })?;
    // What reading, writing and groups load, too.
    client.create_topic("classes", 1, &[])?;
    client.produce_json("classes", 1, 0..1_000)?;
    let _ = client.consume_all("classes", START_LIMIT)?;
    let _ = broker.stop(DUMP_LIMIT)?;
    Ok(())
}
