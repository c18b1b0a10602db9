//! What a client acknowledges on its socket, and where its device goes on; and what its user says that they have.

use policy::Claims;
use schemas::limits::CHANNELS_PER_CONNECTION;
use schemas::problem::Slug;
use serde_json::Value;

use super::Conversation;
use crate::acking;
use crate::acks::{self, Acknowledging, Kept};
use crate::ask::{Ask, Start};
use crate::audited::Door;
use crate::receipts;
use crate::refusal::Refusal;

impl Conversation {
    /// Everything that was asked for, each once, as much as a connection may have.
    pub(super) fn asked_with(&self, channels: &[String]) -> Vec<String> {
        let mut asked = Vec::new();
        for channel in self.ask.channels.iter().chain(channels) {
            if asked.len() < CHANNELS_PER_CONNECTION && !asked.contains(channel) {
                asked.push(channel.clone());
            }
        }
        asked
    }

    /// The first channels start where the device acknowledged last, unless the query says where.
    pub(super) async fn resume(&mut self, asked: &[String]) {
        if self.start == Some(Start::Now) {
            let mut ask = Ask { channels: asked.to_vec(), ..self.ask.clone() };
            acks::resume(&self.shared.acks, &self.claims, &mut ask).await;
            self.start = Some(ask.start);
        }
    }

    /// The user has something; `ok` says that it is kept.
    ///
    /// # Errors
    /// This edge keeps none; what else is wrong is said when it is known.
    pub(super) fn receipt(&mut self, said: receipts::Said, id: Option<Value>) -> Result<(), Refusal> {
        self.shared.receipts_store()?;
        let (shared, claims) = (self.shared.clone(), Claims::clone(&self.claims));
        self.publishing.push_back(Box::pin(async move {
            let kept = shared.say_receipt(claims, said, Door::Socket).await;
            (id, kept.map_err(|refusal| refusal.problem()))
        }));
        Ok(())
    }

    /// The client has what stands before a position; `ok` says that it is kept, where it is of a device.
    ///
    /// # Errors
    /// It is no position, or it is nobody's.
    pub(super) fn acknowledge(&mut self, position: &str, id: Option<&Value>) -> Result<(), Refusal> {
        let position = acking::position(position)?;
        let Some(device) = &self.ask.device else {
            self.frames.ok(id);
            return Ok(());
        };
        let (shared, id) = (self.shared.clone(), id.cloned());
        let of = Acknowledging::of(&self.claims, device, &self.ask.channels)?;
        self.publishing.push_back(Box::pin(async move {
            let kept = match shared.acks.acknowledge(of, &position).await {
                Ok(Kept::Stored) => Ok(()),
                Ok(Kept::Waits) => Err(Refusal::new(Slug::Unavailable, "it waits for the store").problem()),
                Err(refusal) => Err(refusal.problem()),
            };
            (id, kept)
        }));
        Ok(())
    }
}
