//! Kafka's own commands, such as `kafka-topics.sh`, as its distribution has them: a class in a JVM.

use std::path::Path;

use anyhow::Result;
use std::os::unix::fs::PermissionsExt;

use super::DIRECTORY;
use crate::services::{fetched, jdk, setting};

const TOOLS: [(&str, &str); 3] = [
    ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
];

/// Writes the commands into a directory, and returns a search path on which they are found. Each takes
/// about two seconds to start.
pub fn tools(directory: &Path) -> Result<String> {
    let java = jdk::find(17..=99)?.join("bin/java");
    let libraries = fetched(DIRECTORY)?.join("libs/*");
    for (name, class) in TOOLS {
        let path = directory.join(name);
        let (java, libraries) = (java.display(), libraries.display());
        let text = format!(
            "#!/bin/sh\nexec '{java}' -Xmx128m -XX:TieredStopAtLevel=1 -cp '{libraries}' {class} \"$@\"\n"
        );
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    let path = setting("PATH").unwrap_or_default();
    Ok(format!("{}:{path}", directory.display()))
}
