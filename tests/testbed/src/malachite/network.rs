//! The network between validators: every node has one bounded inbox, and what does not fit is lost, as with any gossip.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use super::{
    VALIDATORS,
    message::{Message, Validator},
};
use crate::{
    System,
    faults::{Fault, Faults},
};

/// Messages that wait for a node.
const INBOX: usize = 1024;

/// All inboxes, by validator; one that is down has none.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    inboxes: Arc<Mutex<[Option<mpsc::Sender<Message>>; VALIDATORS]>>,
    /// How many are connected.
    connected: watch::Sender<usize>,
    faults: Faults,
}

impl Network {
    pub(crate) fn new(faults: &Faults) -> Network {
        Network { inboxes: Arc::default(), connected: watch::Sender::new(0), faults: faults.clone() }
    }

    /// Connects a node; the connection before it, if there is one, ends.
    pub(super) fn join(&self, node: Validator) -> mpsc::Receiver<Message> {
        let (to, inbox) = mpsc::channel(INBOX);
        self.connect(node, Some(to));
        inbox
    }

    /// Disconnects a node.
    pub(super) fn leave(&self, node: Validator) {
        self.connect(node, None);
    }

    fn connect(&self, node: Validator, to: Option<mpsc::Sender<Message>>) {
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes[node] = to;
        self.connected.send_replace(inboxes.iter().flatten().count());
    }

    /// Waits until all validators are connected: a chain does not begin before its validators have found each other.
    pub(super) async fn complete(&self) {
        // The sender is `self`, so there always is one.
        let _ = self.connected.subscribe().wait_for(|connected| *connected == VALIDATORS).await;
    }

    /// Sends to every other node.
    pub(super) fn broadcast(&self, from: Validator, message: &Message) {
        for to in (0..VALIDATORS).filter(|to| *to != from) {
            self.send(from, to, message.clone());
        }
    }

    /// Sends to one.
    pub(super) fn send(&self, from: Validator, to: Validator, message: Message) {
        let cut = |node: Validator| self.faults.is_on(Fault::MalachiteNodeIsolated, &System::Malachite.node(node));
        if cut(from) || cut(to) {
            return;
        }
        if let Some(inbox) = &self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)[to] {
            let _ = inbox.try_send(message);
        }
    }
}
