//! The thread that watches the folder.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use notify::{RecursiveMode, Watcher};

use super::{Event, Folder, User};

/// Time between two scans when nothing hints at a change: network file systems send no events.
const RESCAN: Duration = Duration::from_secs(2);

/// A folder being watched, until this is dropped.
#[derive(Debug)]
pub struct Watch {
    events: Receiver<Event>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Folder {
    /// Watches the folder for new generations of the plugins that these operators use.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watch(self, users: Vec<User>) -> std::io::Result<Watch> {
        let (stop, stopped) = bounded(0);
        let (sender, events) = unbounded();
        let thread =
            thread::Builder::new().name("plugin-folder".into()).spawn(move || run(self, &users, &sender, &stopped))?;
        Ok(Watch { events, stop: Some(stop), thread: Some(thread) })
    }
}

impl Watch {
    /// What happened; new generations come in the order in which they were found.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook.
            let _ = thread.join();
        }
    }
}

fn run(mut folder: Folder, users: &[User], events: &Sender<Event>, stopped: &Receiver<()>) {
    let (hint, hints) = bounded(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading must not wake us.
        if !event.is_ok_and(|e| e.kind.is_access() && !e.need_rescan()) {
            // A hint that waits already is enough.
            let _ = hint.try_send(());
        }
    })
    .and_then(|mut watcher| watcher.watch(&folder.path, RecursiveMode::NonRecursive).map(|()| watcher));
    let hints = match &watcher {
        Ok(_) => hints,
        Err(error) => {
            tracing::warn!(folder = %folder.path.display(), %error, "no file events; looking every two seconds");
            never()
        }
    };
    loop {
        for event in folder.scan(users) {
            if events.send(event).is_err() {
                return;
            }
        }
        select! {
            recv(stopped) -> _ => return,
            recv(hints) -> _ => {}
            default(RESCAN) => {}
        }
    }
}
