//! What is wrong with a cluster: each finding says what is going on, and what to do.
use super::{NodeView, Picture, Said};
use crate::text;
use gds_core::replication::{NodeId, RegisterValue};
use gds_node::standing::{DiffersHow, Replica, Role};

impl Picture {
    /// What is wrong; empty when nothing is.
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.of_the_register(&mut found);
        for view in &self.nodes {
            self.of_a_node(view, &mut found);
        }
        self.of_the_lead(&mut found);
        self.of_history(&mut found);
        found
    }

    fn held(&self) -> Option<&RegisterValue> {
        self.register.as_ref().ok()?.value.as_ref()
    }

    fn of_the_register(&self, found: &mut Vec<String>) {
        match &self.register {
            Err(why) => found.push(format!(
                "{why}. Transactions go on; until the register answers nobody can take over, and nobody leaves or joins the in-sync set"
            )),
            Ok(state) if state.value.is_none() => found.push(
                "the register holds nothing: no node of this cluster has been started with it yet, or it was lost. In the second case stop all nodes \
                 and see `gds force-lead --help`"
                    .into(),
            ),
            Ok(_) => {}
        }
        let own = self.own_trouble.as_ref().filter(|_| self.register.is_ok());
        found.extend(
            own.map(|why| format!("the node on this machine gets no answer from the register: {why}")),
        );
    }

    fn of_a_node(&self, view: &NodeView, found: &mut Vec<String>) {
        let node = view.node;
        let said = match &view.said {
            Ok(said) => said,
            Err(why) => {
                if let Some((teacher, gives)) = self.teacher(node) {
                    let how_far = text::transfer(&gives.transfer);
                    return found.push(format!(
                        "node {node} learns from node {teacher}: {how_far}; it answers once it has it, and joins by itself"
                    ));
                }
                let at = view.address.map_or_else(String::new, |address| format!(" at {address}"));
                return found.push(format!("node {node} does not answer{at}: {why}"));
            }
        };
        let standing = &said.standing;
        if standing.role == Role::Alone {
            return found
                .push(format!("node {node} is in no cluster: its configuration says cluster.node = 0"));
        }
        let name = |held: &RegisterValue| held.sessions.current(held.stream).to_string();
        if let Some(held) = self.held().filter(|held| name(held) != said.stream) {
            let (shown, named) = (&said.stream, name(held));
            let was_called =
                shown.parse().ok().and_then(|name| held.sessions.differs_from(held.stream, name));
            return found.push(match was_called {
                Some(from) => format!(
                    "node {node} shows session {shown}, and the stream goes on as {named} from a forced lead: messages from {from} on may differ; it takes that name once it \
                     hears the register"
                ),
                None => format!("node {node} has stream {shown}, and the register names {named}: it uses another register"),
            });
        }
        found.extend(said.troubles.iter().map(|what| format!("node {node}: {what}")));
        let in_register = self.held().map(|held| held.set.incarnation(NodeId(node)));
        let is_in_sync = in_register.map_or(standing.is_in_sync, |life| life == Some(standing.incarnation));
        if !is_in_sync && self.leader().is_some() {
            found.push(format!("node {node} is not in sync: {}", self.why_not_in_sync(view.node, said)));
        }
    }

    /// Why a node that answers is not in the set.
    fn why_not_in_sync(&self, node: u8, said: &Said) -> String {
        let Some((leader, leads)) = self.leader() else { return "nobody leads".into() };
        if said.standing.role == Role::Leads {
            return format!(
                "it leads in epoch {} still, and node {} leads in {}: it is cut off from the others and commits nothing any more; see to the network",
                said.standing.epoch, leader.node, leads.standing.epoch
            );
        }
        let known = leads.standing.replicas.iter().find(|replica| replica.node == node);
        match known {
            None => format!(
                "node {} leads and has no [[cluster.peer]] for it: configure it there, and start that node again",
                leader.node
            ),
            Some(replica) if replica.incarnation == 0 => format!(
                "node {} leads and has heard nothing of it: see that UDP passes both ways between them (ports cluster.port and \
                 cluster.history_port, and the group), and that cluster.peer.address is its interface's on either side",
                leader.node
            ),
            Some(replica) if replica.behind == 0 => {
                "it has everything, and joins by itself as soon as the register answers the leader".into()
            }
            Some(replica) => format!(
                "it learns: {} messages are missing, the first of them for {}; it joins by itself",
                text::grouped(replica.behind),
                text::duration(replica.behind_ns)
            ),
        }
    }

    fn of_the_lead(&self, found: &mut Vec<String>) {
        let Some((leader, said)) = self.leader() else {
            return found.push(format!("nobody leads: {}", self.why_nobody_leads()));
        };
        let in_sync = self.held().map_or(said.standing.in_sync as usize, |held| held.set.count());
        if in_sync < self.min_in_sync {
            found.push(format!(
                "{in_sync} nodes are in sync and cluster.min_in_sync is {}: transactions are refused until more are (see the lines above)",
                self.min_in_sync
            ));
        }
        if let Some(held) =
            self.held().filter(|held| held.leader.0 != leader.node && held.epoch > said.standing.epoch)
        {
            found.push(format!(
                "the register says that node {} leads in epoch {}; node {} does not know it yet",
                held.leader, held.epoch, leader.node
            ));
        }
    }

    /// Replicas that have shown what the leader does not have so, and declarations that wait.
    fn of_history(&self, found: &mut Vec<String>) {
        let Some((leader, said)) = self.leader() else { return };
        for replica in &said.standing.replicas {
            found.extend(self.differs(leader.node, replica));
        }
        found.extend(said.standing.declaration_waits_for.map(|node| {
            format!(
                "node {} has something new to declare (limits, tables or schemas of its configuration), and node {node} cannot apply it or has not said that it can: \
                 give node {node} the same configuration and this release, and start it again",
                leader.node
            )
        }));
    }

    fn differs(&self, leader: u8, replica: &Replica) -> Option<String> {
        let (differs, node) = (replica.differs?, replica.node);
        let at = text::grouped(differs.at);
        let what = match differs.how {
            DiffersHow::Lacks => format!(
                "node {node} has shown message {at}, and the log of node {leader}, which leads, ends before it"
            ),
            DiffersHow::Log => {
                format!(
                    "the logs of node {node} and of node {leader}, which leads, differ at message {at} or before, which node {node} has shown"
                )
            }
            DiffersHow::Store => format!(
                "the stores of node {node} and of node {leader}, which leads, differ behind message {at}"
            ),
        };
        let in_set = self.held().is_some_and(|held| held.set.incarnation(NodeId(node)).is_some());
        let then = match in_set && differs.how != DiffersHow::Store {
            true => format!("Node {node} is in the in-sync set, so nothing is committed until you decide"),
            false => format!("Node {node} has stopped and is not followed"),
        };
        Some(format!(
            "{what}. One of the two has gone back in time. {then}: `gds verify` names the first message that differs; then either `gds set-aside` on the machine of \
             node {node}, which learns the stream anew, or stop node {leader} and start node {node}, with `gds force-lead` if it does not lead by itself"
        ))
    }

    fn why_nobody_leads(&self) -> String {
        let Some(held) = self.held() else {
            return "without the register nobody can; see the line above".into();
        };
        if held.epoch == 0 {
            return "the cluster is new; the first node that is there will".into();
        }
        let set = &held.set;
        let here = |view: &NodeView, said: &Said| {
            let registered = set.incarnation(NodeId(view.node))?;
            Some((view.node, registered >= said.standing.whole_since))
        };
        let here: Vec<(u8, bool)> = self.said().filter_map(|(view, said)| here(view, said)).collect();
        if let Some((node, _)) = here.iter().find(|(_, is_whole)| *is_whole) {
            return format!(
                "node {node} of the in-sync set {set} (node.life) has everything and takes over within a moment, once the register answers it (on its \
                 machine `gds cluster` says so if it does not)"
            );
        }
        let lost = match here.first() {
            None => "no node answers".to_owned(),
            Some((node, _)) => format!("node {node} has lost a part of its journal since"),
        };
        format!(
            "of the in-sync set {set} (node.life) {lost}, and nobody else has everything. Start another node of the set with its journal: it takes over. \
             If none of them has it any more, `gds force-lead` says what would be missing"
        )
    }
}
