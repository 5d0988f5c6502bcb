//! Which replays a running topology has, for who looks at its page: told to everybody, since it says what is
//! needed.

use serde::Serialize;

use crate::observer::Observer;

const DEMO: &str = "A demonstration has no replays, as its Kafka is inside of this program, where the process of \
                    a replay does not reach it. To have them, run your own topology with isobar run FILE \
                    --token-file FILE --replay-dir DIR.";
const EMBEDDED: &str = "There are no replays, as the Kafka or the index of this topology is embedded, and so inside \
                        of this program, where the process of a replay does not reach it. To have them, name the \
                        addresses of others in the topology file.";
const NO_TOKEN: &str = "Replays are not shown here, as nobody has a token for them. To have them, start the topology with \
                        --token-file FILE --replay-dir DIR.";
const NO_DIRECTORY: &str = "Replays are shown and none can be planned, as there is no directory for plans. To have \
                            one, start the topology with --replay-dir DIR.";

/// Which replays there are.
#[derive(Debug, Serialize)]
pub struct Offer {
    /// The spouts that can be replayed.
    spouts: Vec<String>,
    /// Whether runs are told, and hear what is wanted of them.
    shown: bool,
    /// Whether they are planned and begun.
    begun: bool,
    /// What is not there and how to get it, in words; null where nothing is amiss, or no spout reads Kafka.
    missing: Option<&'static str>,
}

impl Offer {
    /// That of a topology.
    pub fn of(observer: &Observer) -> Self {
        let replays = observer.replays.as_ref();
        let spouts = replays.map_or_else(Vec::new, |replays| replays.spouts.clone());
        let missing = match replays {
            None => observer.is_demo.then_some(DEMO),
            Some(replays) if !replays.reads_kafka => None,
            Some(_) if spouts.is_empty() => Some(EMBEDDED),
            Some(_) if observer.token.is_none() => Some(NO_TOKEN),
            Some(replays) if replays.store.is_none() => Some(NO_DIRECTORY),
            Some(_) => None,
        };
        Self {
            shown: !spouts.is_empty() && matches!(missing, None | Some(NO_DIRECTORY)),
            begun: !spouts.is_empty() && missing.is_none(),
            spouts,
            missing,
        }
    }
}
