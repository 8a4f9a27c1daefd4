// As locks.c, for Rust: hangs a thread named "waiter" on one kind of lock.
use std::sync::{mpsc, Condvar, Mutex, Once, RwLock};
use std::thread;

fn stay() -> ! {
    loop {
        unsafe { libc::pause() };
    }
}

fn address<T>(lock: &T) -> usize {
    lock as *const T as usize
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// `first` takes what `last` then waits for, in a thread that lives on.
fn two(lock: usize, first: impl FnOnce() + Send + 'static, last: impl FnOnce() + Send + 'static) -> ! {
    let (ready, wait) = mpsc::channel();
    thread::spawn(move || {
        first();
        ready.send(()).unwrap();
        stay();
    });
    wait.recv().unwrap();
    waiter(lock, last)
}

fn waiter(lock: usize, last: impl FnOnce() + Send + 'static) -> ! {
    thread::Builder::new()
        .name("waiter".into())
        .spawn(move || {
            println!("lock {:#x}\nowner 0\nprocess {}", lock, std::process::id());
            last();
        })
        .unwrap();
    stay()
}

fn main() {
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, 9);
        libc::alarm(120);
    }
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "rust-mutex" => {
            let lock = leak(Mutex::new(0));
            two(address(lock), || std::mem::forget(lock.lock()), || drop(lock.lock()))
        }
        "rust-rwlock-read" => {
            let lock = leak(RwLock::new(0));
            two(address(lock), || std::mem::forget(lock.write()), || drop(lock.read()))
        }
        "rust-rwlock-write" => {
            let lock = leak(RwLock::new(0));
            two(address(lock), || std::mem::forget(lock.read()), || drop(lock.write()))
        }
        "rust-condvar" => {
            let pair = leak((Mutex::new(false), Condvar::new()));
            waiter(address(&pair.1), || drop(pair.1.wait(pair.0.lock().unwrap())))
        }
        "rust-once" => {
            let once = leak(Once::new());
            let (ready, wait) = mpsc::channel();
            thread::spawn(move || {
                once.call_once(|| {
                    ready.send(()).unwrap();
                    stay()
                })
            });
            wait.recv().unwrap();
            waiter(address(once), || once.call_once(|| ()))
        }
        "rust-park" => waiter(0, thread::park),
        "rust-scope" => waiter(0, || {
            thread::scope(|scope| {
                scope.spawn(|| stay());
            })
        }),
        "rust-channel" => {
            let (sender, receiver) = mpsc::channel::<()>();
            std::mem::forget(sender);
            waiter(0, move || receiver.recv().unwrap_or(()))
        }
        "crossbeam-channel" => {
            let (sender, receiver) = crossbeam_channel::unbounded::<()>();
            std::mem::forget(sender);
            waiter(0, move || receiver.recv().unwrap_or(()))
        }
        "parking-lot-mutex" => {
            let lock = leak(parking_lot::Mutex::new(0));
            two(address(lock), || std::mem::forget(lock.lock()), || drop(lock.lock()))
        }
        "parking-lot-rwlock" => {
            let lock = leak(parking_lot::RwLock::new(0));
            two(address(lock), || std::mem::forget(lock.write()), || drop(lock.read()))
        }
        "rayon-latch" => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            waiter(0, move || pool.install(|| stay()))
        }
        "rayon-idle" => {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(|_| "waiter".into())
                .build()
                .unwrap();
            println!("lock 0\nowner 0\nprocess {}", std::process::id());
            std::mem::forget(pool);
            stay()
        }
        _ => std::process::exit(2),
    }
}
