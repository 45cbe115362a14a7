//! What races find by luck, made to happen: another request comes between a reading and what follows from it.

use crate::play::{Player, Setup, Tally};
use crate::race::PRELUDE;
use crate::steps::*;
use crate::world::{Memory, arrival, told, walk};

const SETUP: Setup = Setup { engine: Memory, seed: 1, cached_rows_max: 1000 };

/// Once the next row of this table has been read, a client asks this, and is answered with success.
fn interrupt(player: &mut Player<'_>, table: &'static str, who: Who, op: Op) {
    let (name, body) = player.scene.request(who, &op);
    let corridor = std::sync::Arc::downgrade(&player.process.as_ref().unwrap().corridor);
    let env = std::sync::Arc::clone(&player.site.env);
    player.site.memory().unwrap().after_reading(table, move || {
        let other = std::thread::spawn(move || {
            let arrival = arrival(&env, who, &op, name, &body);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            told(&runtime.block_on(walk(corridor.upgrade().unwrap(), arrival)))
        });
        assert!(other.join().unwrap().result.is_ok());
    });
}

/// Two keys with an alias each, and one that is due for destruction; nothing is in memory.
fn begun(tally: &mut Tally) -> Player<'_> {
    let mut player = Player::new(SETUP, tally);
    for step in &PRELUDE {
        player.step(step).unwrap();
    }
    player.step(&Restart { crash: false }).unwrap();
    player
}

#[test]
fn an_alias_that_is_moved_while_its_key_is_looked_for_leads_to_its_new_key() {
    let mut tally = Tally::default();
    for op in [DescribeKey(ByAlias(0)), DeleteAlias(Named(0))] {
        let mut player = begun(&mut tally);
        interrupt(&mut player, "alias/", OwnerUs, UpdateAlias(Named(0), Id(1)));
        let (name, body) = player.scene.request(OwnerUs, &op);
        let process = player.process.as_ref().unwrap();
        let told = process.send(&player.site.env, OwnerUs, &op, name, &body);
        let answer = told.result.unwrap();
        if let DescribeKey(_) = op {
            assert_eq!(answer["KeyMetadata"]["KeyId"], player.scene.key_id(1));
        }
        assert_eq!(process.problems(), Vec::<String>::new());
    }
}

#[test]
fn an_alias_that_is_deleted_while_its_key_is_looked_for_is_not_found() {
    let mut tally = Tally::default();
    for op in [DescribeKey(ByAlias(0)), UpdateAlias(Named(0), Id(1)), DeleteAlias(Named(0))] {
        let mut player = begun(&mut tally);
        interrupt(&mut player, "alias/", OwnerUs, DeleteAlias(Named(0)));
        let (name, body) = player.scene.request(OwnerUs, &op);
        let process = player.process.as_ref().unwrap();
        let told = process.send(&player.site.env, OwnerUs, &op, name, &body);
        assert_eq!(told.result, Err("NotFound".to_owned()), "{op:?}");
    }
}

/// The job has read the key, which is due, and is about to commit its destruction.
#[test]
fn a_deletion_that_is_called_off_between_decision_and_commit_does_not_happen() {
    let mut tally = Tally::default();
    let mut player = begun(&mut tally);
    player.step(&Pass(1, 61)).unwrap();
    player.site.env.advance(std::time::Duration::from_secs(3700));
    interrupt(&mut player, "account-key/", OwnerUs, CancelKeyDeletion(Id(2)));
    let process = player.process.as_mut().unwrap();
    process.tick();
    let (name, body) = player.scene.request(OwnerUs, &DescribeKey(Id(2)));
    let process = player.process.as_ref().unwrap();
    let told = process.send(&player.site.env, OwnerUs, &DescribeKey(Id(2)), name, &body);
    assert_eq!(told.result.unwrap()["KeyMetadata"]["KeyState"], "Disabled");
    assert_eq!(process.destroyed(), 0);
    assert_eq!(process.problems(), Vec::<String>::new());
}
