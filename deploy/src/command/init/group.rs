//! A consumer group of the topology's own: its name is also that of its group, and one that is there already
//! belongs to another program, whose partitions and commits this one would share.

use isobar_operators::kafka::error::Error;

use super::proposal::{NAME_MAX, Subject};

/// Gives the topology another name where its own is a group already, unless the name was asked for. Returns
/// what is to be told of it.
///
/// `is_group` asks whether there is a group of a name.
pub(super) fn settle(
    subject: &mut Subject,
    is_asked_for: bool,
    is_group: impl Fn(&str) -> Result<bool, Error>,
) -> Option<String> {
    let name = subject.name().to_owned();
    match is_group(&name) {
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => {
            return Some(format!(
                "whether there is a consumer group {name} already is not known: {error}"
            ));
        }
    }
    let free = match is_asked_for {
        true => None,
        false => others(&name).find(|other| matches!(is_group(other), Ok(false))),
    };
    match free {
        Some(free) => {
            let told = format!(
                "there is a consumer group {name} already, so this topology is named {free}; --name NAME names it \
                 otherwise"
            );
            subject.rename(free);
            Some(told)
        }
        None => Some(format!(
            "there is a consumer group {name} already: `isobar run` shares its partitions with its members, and goes \
             on from what it has committed; another --name makes a group of its own"
        )),
    }
}

/// Names that are tried in place of one, cut where they would be too long.
fn others(name: &str) -> impl Iterator<Item = String> {
    let endings = (1..=9).map(|number| match number {
        1 => "-isobar".to_owned(),
        number => format!("-isobar-{number}"),
    });
    endings.map(move |ending| {
        let start = name.chars().take(NAME_MAX - ending.len());
        start.chain(ending.chars()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name that a topology for the topic `access` gets beside these groups, and what is told.
    fn settled(asked_for: Option<&str>, groups: &[&str]) -> (String, Option<String>) {
        let brokers = ["a:1".to_owned()];
        let mut subject = Subject::new(asked_for, &brokers, "access", "http://b:2");
        let is_group = |name: &str| Ok(groups.contains(&name));
        let told = settle(&mut subject, asked_for.is_some(), is_group);
        (subject.name().to_owned(), told)
    }

    #[test]
    fn a_name_is_taken_that_is_no_group_yet() {
        let nothing_said = ("access".to_owned(), None);
        assert_eq!(settled(None, &[]), nothing_said);
        assert_eq!(settled(None, &["access-isobar"]), nothing_said);
        for (groups, expected) in [
            (&["access"][..], "access-isobar"),
            (&["access", "access-isobar"], "access-isobar-2"),
        ] {
            let (name, told) = settled(None, groups);
            assert_eq!(name, expected);
            let told = told.expect("something");
            let expected = format!(
                "there is a consumer group access already, so this topology is named {name}; "
            );
            assert!(told.starts_with(&expected), "{told}");
        }
    }

    #[test]
    fn a_name_that_was_asked_for_stays_and_the_group_is_told() {
        assert_eq!(settled(Some("mine"), &[]), ("mine".to_owned(), None));
        let (name, told) = settled(Some("mine"), &["mine"]);
        assert_eq!(name, "mine");
        let told = told.expect("something");
        assert!(
            told.starts_with("there is a consumer group mine already: `isobar run` shares"),
            "{told}"
        );
    }

    #[test]
    fn who_may_not_ask_is_told_so_and_goes_on() {
        let mut subject = Subject::new(None, &["a:1".to_owned()], "access", "http://b:2");
        let refused = |_: &str| Err(Error::Config("not for you".to_owned()));
        let told = settle(&mut subject, false, refused);
        assert_eq!(
            (subject.name(), told.as_deref()),
            (
                "access",
                Some("whether there is a consumer group access already is not known: not for you")
            )
        );
    }

    #[test]
    fn long_names_are_cut() {
        let name = "x".repeat(NAME_MAX);
        for other in others(&name) {
            assert_eq!(other.len(), NAME_MAX, "{other}");
        }
    }
}
