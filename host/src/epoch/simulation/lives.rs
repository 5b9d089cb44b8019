//! One host after the other, each with something else going wrong, until all input is worked on.

use super::Verdict;
use super::host::{Host, Step, counts, is_refusal};
use super::world::World;

/// One life after the other, until all input is worked on, or a run is refused.
pub(super) fn lives(world: &World) -> Result<Verdict, String> {
    let lives = 1 + world.random.below(8);
    for life in 0..=lives + 1 {
        // Nothing goes wrong in the last one, so it comes to the end.
        let calm = life > lives;
        plan(world, calm);
        let machine = usize::from(world.chance(10));
        let mut host = match Host::start(world, machine) {
            Ok(host) => host,
            Err(error) if !world.dead() && is_refusal(&error) => return refused(world, &error.to_string()),
            Err(error) => {
                world.tell(|| format!("stopped: {error}"));
                world.die();
                continue;
            }
        };
        let patience = if calm { u64::MAX } else { 1 + world.random.below(12) };
        let mut step = Step::Committed;
        for _ in 0..patience {
            step = host.epoch();
            if step != Step::Committed {
                break;
            }
        }
        if let Step::Refused(reason) = &step {
            return refused(world, reason);
        }
        if step == Step::Finished && !world.dead() {
            world.check_state(&host.counts)?;
            let store = world.stores[host.machine].borrow();
            let held = counts(&store.slots);
            drop(store);
            world.check_state(&held)?;
        }
        if calm {
            return if step == Step::Finished {
                Ok(Verdict::Completed)
            } else {
                Err(format!("it ended with {step:?}"))
            };
        }
        drop(host);
        world.die();
        world.check_output(false).or_else(|problem| {
            // A file is cut to what is committed by the next run only.
            if world.kafka { Err(problem) } else { Ok(()) }
        })?;
        destroy(world);
    }
    Err("it never came to the end".into())
}

/// What will go wrong in a life.
fn plan(world: &World, calm: bool) {
    world.calm.set(calm);
    let faults = world.disk.faults();
    faults.room.set(None);
    faults.fail_sync.set(world.chance(4));
    faults.torn.set(world.random.below(256) as u8);
    faults.crash_in.set(world.chance(75).then(|| world.random.below(60)));
    if world.chance(8) {
        faults.room.set(Some(world.random.below(3000) as usize));
    }
    world.takeover.set(world.kafka && world.chance(25));
}

/// Now and then something is destroyed while no host lives.
fn destroy(world: &World) {
    if !world.chance(3) {
        return;
    }
    let files = world.disk.files();
    match world.random.below(4) {
        0 => {
            let mut broker = world.broker.borrow_mut();
            // That the only epoch there is was committed, nothing but its pointer can tell for sure.
            broker.lost_pointers = broker.pointers.len() > 1;
        }
        1 => world.snapshots.borrow_mut().clear(),
        kind => {
            let Some((name, size)) = files.get(world.random.below(files.len() as u64) as usize) else { return };
            if kind == 2 {
                world.disk.lose(name);
            } else if *size > 0 {
                let at = world.random.below(*size as u64) as usize;
                world.disk.damage(name, |bytes| bytes[at] ^= 1 << world.random.below(8));
            }
        }
    }
    world.tell(|| "-- something was destroyed".into());
    world.destroyed.set(true);
}

fn refused(world: &World, reason: &str) -> Result<Verdict, String> {
    world.tell(|| format!("refused: {reason}"));
    if world.destroyed.get() {
        Ok(Verdict::Refused)
    } else {
        Err(format!("a run was refused though nothing was destroyed: {reason}"))
    }
}
