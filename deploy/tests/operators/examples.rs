//! The examples that users are shown are right.

use crate::world::{Subject, World, registry};

#[test]
fn the_example_of_every_bolt_is_planned() {
    let world = World::new();
    let bolts = isobar_operators::registry().bolts;
    assert!(!bolts.is_empty());
    for bolt in &bolts {
        let subject = Subject::bolt(&world, bolt);
        let plan = world.plan(&subject.topology);
        assert!(
            plan.is_ok(),
            "{}\n{}",
            subject.topology,
            plan.err().unwrap_or_default()
        );
    }
}

#[test]
fn the_example_of_every_spout_is_planned() {
    let world = World::new();
    let spouts = isobar_operators::registry().spouts;
    assert!(!spouts.is_empty());
    for spout in &spouts {
        let topology = Subject::spout(spout);
        let plan = world.plan(&topology);
        assert!(
            plan.is_ok(),
            "{topology}\n{}",
            plan.err().unwrap_or_default()
        );
    }
}

#[test]
fn an_example_with_a_wrong_option_would_be_found() {
    let world = World::new();
    let mut bolt = registry()
        .bolts
        .into_iter()
        .find(|kind| kind.name == "blackhole");
    let bolt = bolt.as_mut().expect("is registered");
    bolt.example.yaml = "type: blackhole\ninputs: [parse]\nwrong: 1\n";
    let topology = Subject::around(bolt.example.yaml, true, &[]);
    let refused = world
        .plan(&topology)
        .err()
        .expect("there is no such option");
    assert!(
        refused.contains("bolts.subject.wrong: unknown option"),
        "{refused}"
    );
}

/// Doc comments and single quotes of YAML know no escapes, so a doubled backslash is two of them.
#[test]
fn patterns_in_descriptions_can_be_copied() {
    let bolts = isobar_operators::registry().bolts;
    for bolt in &bolts {
        let schema = (bolt.schema)().to_value().to_string();
        // As JSON writes it, each backslash is doubled once more.
        let doubled = schema.split(r"\\\\").skip(1);
        let is_letter = |c: char| c.is_alphabetic();
        let mut wrong = doubled.filter(|text| text.starts_with(is_letter));
        let behind = wrong.next().map(|text| text.split(' ').next());
        assert_eq!(behind, None, "{}: two backslashes before this", bolt.name);
    }
}
