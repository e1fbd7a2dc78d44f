//! How long the scheduler takes: to place everything from nothing, to find that nothing has changed, and to follow one change.
//!
//! `cargo bench -p fleet --bench schedule`. 10,000 units on 1,000 machines (fleet's own engine, measured: 40 s to place plain units, 107 s
//! for a pass with nothing to do). `place` builds no input: the scheduler is told everything before the clock starts.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fleet::model::{Admission, DesiredState, Job, Machine, MachineId, Resources};
use fleet::schedule::{Place, Scheduler};
use fleet::unit::{Requirements, UnitFile, UnitName};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

const MACHINES: usize = 1_000;
const UNITS: usize = 10_000;

/// A mix: its name, and the `[X-Fleet]` lines of unit `index`.
type Mix = (&'static str, fn(usize) -> String);

const MIXES: [Mix; 8] = [
    ("plain", |_| String::new()),
    ("metadata", |index| format!("MachineMetadata=zone=z{}\nMachineMetadata=disk=ssd", index % 10)),
    // A hundred services of a hundred instances, no two of one service on one machine.
    ("conflicts", |index| format!("Conflicts=app{}@*.service", index / 100)),
    // Every second unit is the side car of the one before.
    ("machine_of", |index| match index % 2 {
        0 => String::new(),
        _ => format!("MachineOf={}", unit(index - 1)),
    }),
    ("resources", |index| format!("Memory={}M\nCPU=0.{}", 64 + index % 64 * 8, 1 + index % 4)),
    ("pack", |index| format!("Placement=pack\nMemory={}M", 64 + index % 64 * 8)),
    ("preferences", |index| {
        format!("PreferMachineMetadata=zone=z{} 5\nAvoidMachineOf=app{}@*.service 3", index % 10, index / 100)
    }),
    ("all", |index| match index % 5 {
        0 => format!("MachineMetadata=zone=z{}\nMemory=128M", index % 10),
        1 => format!("MachineOf={}", unit(index - 1)),
        2 => "CPU=0.5\nMemory=256M\nMachineMetadata=disk=ssd".into(),
        3 => format!("Conflicts=app{}@*.service\nPreferMachineMetadata=zone=z{} 5", index / 100, index % 10),
        _ => "Placement=pack\nMemory=512M".into(),
    }),
];

fn unit(index: usize) -> String {
    format!("app{}@{}.service", index / 100, index % 100)
}

fn machine(index: usize) -> Machine {
    let disk = if index.is_multiple_of(2) { "ssd" } else { "hdd" };
    Machine {
        id: MachineId::from(
            format!("{:032x}", (index as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
                .as_str(),
        ),
        primary_ip: String::new(),
        metadata: BTreeMap::from([
            ("zone".into(), format!("z{}", index / 2 % 10)),
            ("disk".into(), disk.into()),
        ]),
        capacity: Resources { cpu_millis: 32_000, memory_bytes: 64 << 30 },
        admission: Admission::Open,
        leaving: false,
        api: None,
        version: String::new(),
    }
}

fn job(index: usize, mix: Mix) -> Job {
    let text = format!("[Service]\nExecStart=/bin/true\n\n[X-Fleet]\n{}\n", mix.1(index));
    let file = UnitFile::parse(&text).expect("a good unit file");
    let name = UnitName::parse(&unit(index)).expect("a good name");
    let requirements = Arc::new(Requirements::read(&name, &file).expect("good requirements"));
    Job { hash: file.hash(), file: Arc::new(file), requirements, desired: DesiredState::Launched, name }
}

fn told(mix: Mix) -> Scheduler {
    let mut scheduler = Scheduler::new();
    (0..MACHINES).for_each(|index| scheduler.set_machine(machine(index)));
    (0..UNITS).for_each(|index| scheduler.set_job(job(index, mix)));
    scheduler
}

fn place(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("place 10000 units on 1000 machines");
    group.sample_size(10);
    for mix in MIXES {
        let empty = told(mix);
        let placed = empty.clone().decide().len();
        assert_eq!(placed, UNITS, "{}: all are placed", mix.0);
        group.bench_function(mix.0, |bencher| {
            bencher.iter_batched_ref(
                || empty.clone(),
                |world| black_box(world.decide()),
                BatchSize::LargeInput,
            );
        });
    }
}

fn steady(criterion: &mut Criterion) {
    let mut world = told(MIXES[7]);
    world.decide();
    let mut group = criterion.benchmark_group("10000 units on 1000 machines placed");
    group.bench_function("nothing to do", |bencher| bencher.iter(|| black_box(world.decide())));
    let name = UnitName::parse(&unit(42)).expect("a good name");
    group.bench_function("one unit freed and placed again", |bencher| {
        bencher.iter(|| {
            world.set_place(&name, Place::Free);
            black_box(world.decide())
        });
    });
    group.bench_function("why a unit is where it is", |bencher| {
        bencher.iter(|| black_box(world.explain(&name)))
    });
    let mut dead = world.clone();
    let orders = dead.orders();
    let first = orders[0].1.clone();
    dead.remove_machine(&first);
    group.bench_function("a machine dies: what it had goes elsewhere", |bencher| {
        bencher.iter_batched_ref(
            || dead.clone(),
            |world| {
                world.decide();
                for (unit, _, _) in orders.iter().filter(|(_, machine, _)| *machine == first) {
                    world.set_place(unit, Place::Free);
                }
                black_box(world.decide())
            },
            BatchSize::LargeInput,
        );
    });
}

fn load(criterion: &mut Criterion) {
    let mut world = told(MIXES[7]);
    world.decide();
    let orders = world.orders();
    let machines: Vec<Machine> = (0..MACHINES).map(machine).collect();
    let jobs: Vec<Job> = (0..UNITS).map(|index| job(index, MIXES[7])).collect();
    let mut group = criterion.benchmark_group("a new engine");
    group.sample_size(10);
    group.bench_function("is told 10000 placed units on 1000 machines and decides", |bencher| {
        bencher.iter(|| {
            let mut scheduler = Scheduler::new();
            machines.iter().for_each(|machine| scheduler.set_machine(machine.clone()));
            jobs.iter().for_each(|job| scheduler.set_job(job.clone()));
            for (unit, machine, state) in &orders {
                scheduler.set_place(unit, Place::On { machine: machine.clone(), state: *state });
            }
            let decisions = scheduler.decide();
            assert!(decisions.len() < UNITS, "what is placed stays");
            decisions
        });
    });
}

criterion_group!(benches, place, steady, load);
criterion_main!(benches);
