//! Forks a process with Rust threads and waits in the child for what was not copied: rayon's
//! workers, or a thread that holds a lock. `rayon_fork MODE`.
use rayon::prelude::*;
use std::sync::{mpsc, Condvar, Mutex, Once, RwLock};
use std::thread;

static MUTEX: Mutex<u32> = Mutex::new(0);
static RWLOCK: RwLock<u32> = RwLock::new(0);
static PARKING_LOT: parking_lot::Mutex<u32> = parking_lot::Mutex::new(0);
static DONE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
static ONCE: Once = Once::new();

fn sum(count: u64) -> u64 {
    (0..count).into_par_iter().map(|number| number ^ 1).sum()
}

fn park_for_ever() {
    loop {
        thread::park();
    }
}

/// Calls `body` with a function that lets the caller go on, in a thread that never ends.
fn start(body: fn(&dyn Fn())) {
    let (ready, begun) = mpsc::channel();
    thread::Builder::new()
        .name("holder".into())
        .spawn(move || {
            body(&|| ready.send(()).unwrap());
            park_for_ever();
        })
        .unwrap();
    begun.recv().unwrap();
}

fn wait_until_done() {
    let mut done = DONE.0.lock().unwrap();
    while !*done {
        done = DONE.1.wait(done).unwrap();
    }
}

/// What the parent does before the fork and the child after it.
fn parts(mode: &str) -> (fn(), fn()) {
    match mode {
        "rayon" => (
            || {
                sum(1_000_000);
            },
            || {
                sum(1_000_000);
            },
        ),
        // The control: rayon starts its threads when it is first used.
        "first-in-child" => (
            || (),
            || {
                sum(1_000_000);
            },
        ),
        "rayon-install" => (
            || {
                sum(1_000_000);
            },
            // A pool of its own does not help the one it inherited.
            || {
                let own = rayon::ThreadPoolBuilder::new()
                    .num_threads(2)
                    .build()
                    .unwrap();
                own.install(|| sum(1_000_000));
                sum(1_000_000);
            },
        ),
        "mutex" => (
            || {
                start(|ready| {
                    let _held = MUTEX.lock().unwrap();
                    ready();
                    park_for_ever()
                })
            },
            || *MUTEX.lock().unwrap() += 1,
        ),
        "rwlock" => (
            || {
                start(|ready| {
                    let _held = RWLOCK.write().unwrap();
                    ready();
                    park_for_ever()
                })
            },
            || drop(RWLOCK.read().unwrap()),
        ),
        "parking_lot" => (
            || {
                start(|ready| {
                    let _held = PARKING_LOT.lock();
                    ready();
                    park_for_ever()
                })
            },
            || *PARKING_LOT.lock() += 1,
        ),
        "condvar" => (|| start(|ready| ready()), wait_until_done),
        "once" => (
            || {
                start(|ready| {
                    ONCE.call_once(|| {
                        ready();
                        park_for_ever()
                    })
                })
            },
            || ONCE.call_once(|| ()),
        ),
        // Controls: the child's own pool works, and its first thread waits for input.
        "own-pool" => (
            || start(|ready| ready()),
            || {
                sum(1_000_000);
                let (mut ends, mut byte) = ([0; 2], 0u8);
                unsafe {
                    libc::pipe(ends.as_mut_ptr());
                    libc::read(ends[0], (&raw mut byte).cast(), 1);
                }
            },
        ),
        // Its own pool is at work, while the one it inherited is lost.
        "own-pool-works" => (
            || {
                sum(1_000_000);
            },
            || {
                let own = rayon::ThreadPoolBuilder::new()
                    .num_threads(2)
                    .build()
                    .unwrap();
                own.install(|| thread::sleep(std::time::Duration::from_secs(3600)));
            },
        ),
        // The child's first thread waits for a live thread of its own.
        "own-thread" => (
            || {
                sum(1_000_000);
            },
            || {
                thread::spawn(|| thread::sleep(std::time::Duration::from_secs(3600)));
                wait_until_done();
            },
        ),
        _ => panic!("no mode {mode}"),
    }
}

fn main() {
    let (before, after) = parts(&std::env::args().nth(1).expect("a mode"));
    before();
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        println!("target {}", std::process::id());
        after();
        println!("done");
        unsafe { libc::_exit(0) }
    }
    let mut status = 0;
    unsafe { libc::waitpid(pid, &mut status, 0) };
}
