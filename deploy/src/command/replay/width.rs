//! How much of the machine and of the index a run takes: beside a live topology little, and all that its topology
//! says where there is none.
//!
//! Chosen when a run begins, and kept: lanes are threads, and requests are as large as their bolts were made for.

use std::time::Duration;

use isobar_operators::lag::Source;
use isobar_operators::offsets::Group;
use isobar_operators::replay::beside_live;
use isobar_topology::spec::Spec;

use super::attend::YieldTo;
use crate::progress::Screen;

/// What a plan says, as who is live when it is run nobody knows before.
pub(super) const RULE: &str = "Beside a live topology the run has a quarter of the lanes, at least one, and on each one \
                               request of at most 1 MiB at a time at each bolt; it is as wide as the topology says where it begins while nobody is in the \
                               live group, or with --yield-to-live off\n";

/// What is said of a run that has begun alone, once it is not.
pub(super) const NO_MORE_ALONE: &str = "isobar: somebody reads for the live group by now: this run waits while that is \
                                        behind, and stays as wide as it is; stopped and gone on with it takes a \
                                        quarter of the lanes";

/// How wide a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::command) enum Width {
    /// A quarter of the lanes, and one small request at a time on each.
    #[default]
    BesideLive,
    /// As the topology says, since nobody is in the live group.
    Alone,
    /// The same, since it yields to nobody.
    YieldsToNobody,
}

impl Width {
    /// Asks who is in the live group. Waits for the brokers, at most so long.
    pub(in crate::command) fn find(live: &Source, yield_to: YieldTo, within: Duration) -> Self {
        let members = || Group::of(live, within).ok()?.state().ok();
        match yield_to {
            YieldTo::Off => Self::YieldsToNobody,
            YieldTo::Above(_) => Self::beside(members().map(|state| state.members)),
        }
    }

    /// Beside a live group of so many members; `None` where the brokers do not tell. A member that reads nothing will
    /// mostly do so in a moment: between two assignments none of them does.
    fn beside(members: Option<usize>) -> Self {
        match members {
            Some(0) => Self::Alone,
            _ => Self::BesideLive,
        }
    }

    /// Has a part of a topology be so wide, on a machine of so many cores.
    pub(in crate::command) fn set(self, part: &mut Spec, cores: usize) {
        if self == Self::BesideLive {
            beside_live(part, cores);
        }
    }

    /// Says what it means for a run with so many lanes, and what widens it.
    pub(in crate::command) fn say(self, lanes: usize, screen: &Screen) {
        screen.line(&format!("isobar: {}", self.sentence(lanes)));
    }

    fn sentence(self, lanes: usize) -> String {
        let all = match lanes {
            1 => "1 lane".to_owned(),
            lanes => format!("{lanes} lanes"),
        };
        let has = format!("this run has {all}");
        let all = format!("{has}, and sends to its indices as the topology says");
        match self {
            Self::BesideLive => format!(
                "beside the live topology {has}, a quarter of what it would have alone, and on each one request of at \
                 most 1 MiB at a time at each bolt; it is as wide as the topology says where it begins while nobody is \
                 in the live group, or with --yield-to-live off"
            ),
            Self::Alone => format!(
                "nobody reads for the live group, so there is nobody to yield to: {all}; where somebody reads later and \
                 is behind, it waits (--yield-to-live)"
            ),
            Self::YieldsToNobody => format!("{all}, and yields to nobody (--yield-to-live off)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use isobar_operators::kafka::connection::KafkaConnection;
    use isobar_topology::spec::{Node, units};
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_narrow_beside_any_member_of_the_live_group_and_where_nobody_tells() {
        let check = |members, expected: Width, lanes| {
            let found = Width::beside(members);
            assert_eq!(found, expected, "{members:?}");
            let file = json!({
                "isobar": 1, "name": "t",
                "spouts": {"logs": {"type": "kafka", "connection": "kafka", "topics": ["t"]}},
                "bolts": {"out": {"type": "blackhole", "inputs": ["logs"]}},
                "settings": {"lanes": 9},
            });
            let mut part = Spec::read(&Node::from_json(&file)).expect("sound");
            found.set(&mut part, 2);
            assert_eq!(part.settings.lanes, Some(lanes), "{members:?}");
        };
        check(Some(0), Width::Alone, 9);
        check(Some(1), Width::BesideLive, 2);
        check(None, Width::BesideLive, 2);
    }

    #[test]
    fn nobody_is_asked_where_it_yields_to_nobody_and_brokers_that_do_not_answer_make_it_narrow() {
        let nowhere = KafkaConnection::plain(&["127.0.0.1:1".to_owned()]);
        let live = Source::of_group(nowhere, "live", &["t".to_owned()]);
        let find = |yield_to| Width::find(&live, yield_to, Duration::from_millis(300));
        assert_eq!(find(YieldTo::Off), Width::YieldsToNobody);
        let above = YieldTo::Above(units::Duration::secs(30));
        assert_eq!(find(above), Width::BesideLive);
    }

    #[test]
    fn what_widens_it_is_told() {
        let narrow = Width::BesideLive.sentence(1);
        assert!(
            narrow.contains("has 1 lane, a quarter")
                && narrow.ends_with("with --yield-to-live off")
        );
        let alone = Width::Alone.sentence(8);
        assert!(
            alone.contains("nobody to yield to: this run has 8 lanes, and sends"),
            "{alone}"
        );
        let off = Width::YieldsToNobody.sentence(1);
        assert!(off.starts_with("this run has 1 lane, and"), "{off}");
    }
}
