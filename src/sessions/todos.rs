//! The todo list of a session: written whole by `TodoWrite`, or task by task.
//!
//! A task has no id until the result of its call, so an entry is found by its call first.
//! Invariant: pure; a bounded number of entries.

use crate::formats::transcript::{Task, Todo, TodoState};

/// The most entries that are kept.
const MAX_TODOS: usize = 200;

#[derive(Default)]
pub(super) struct Todos {
    entries: Vec<Entry>,
}

struct Entry {
    /// Of a task that was created one by one.
    key: Key,
    todo: Todo,
}

#[derive(PartialEq)]
enum Key {
    Listed,
    /// The call that creates the task, until its result has the task's id.
    Call(String),
    Task(String),
}

/// How far a session is with its todos.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress<'a> {
    pub(super) done: usize,
    pub(super) total: usize,
    pub(super) active: Option<&'a str>,
}

impl Todos {
    /// Replaces the list.
    pub(super) fn write(&mut self, todos: Vec<Todo>) {
        let todos = todos.into_iter().take(MAX_TODOS);
        self.entries = todos.map(|todo| Entry { key: Key::Listed, todo }).collect();
    }

    /// Applies a change that the call `tool_use_id` asks for.
    pub(super) fn change(&mut self, tool_use_id: &str, task: Task) {
        match task {
            Task::Created { text } if self.entries.len() < MAX_TODOS => {
                let todo = Todo { text, state: TodoState::Pending };
                self.entries.push(Entry { key: Key::Call(tool_use_id.to_owned()), todo });
            }
            Task::Created { .. } => {}
            Task::Updated { id, text, state } => self.update(Key::Task(id), text, state),
        }
    }

    fn update(&mut self, key: Key, text: Option<String>, state: Option<TodoState>) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) else { return };
        entry.todo.text = text.unwrap_or_else(|| std::mem::take(&mut entry.todo.text));
        entry.todo.state = state.unwrap_or(entry.todo.state);
    }

    /// Takes the id that the result of a call gives its task.
    pub(super) fn created(&mut self, tool_use_id: &str, task_id: impl FnOnce() -> Option<String>) {
        let is_call = |entry: &&mut Entry| matches!(&entry.key, Key::Call(id) if id == tool_use_id);
        if let Some(entry) = self.entries.iter_mut().find(is_call)
            && let Some(id) = task_id()
        {
            entry.key = Key::Task(id);
        }
    }

    /// Absent without todos.
    pub(super) fn progress(&self) -> Option<Progress<'_>> {
        let kept = || self.entries.iter().filter(|it| it.todo.state != TodoState::Deleted);
        let done = kept().filter(|it| it.todo.state == TodoState::Done).count();
        let active = kept().find(|it| it.todo.state == TodoState::Active);
        let active = active.map(|it| it.todo.text.as_str());
        let total = kept().count();
        (total > 0).then_some(Progress { done, total, active })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn todo(text: &str, state: TodoState) -> Todo {
        Todo { text: text.to_owned(), state }
    }

    #[test]
    fn a_list_replaces_the_one_before() {
        let mut todos = Todos::default();
        assert_eq!(todos.progress(), None);
        todos.write(vec![todo("a", TodoState::Done), todo("b", TodoState::Active)]);
        assert_eq!(todos.progress(), Some(Progress { done: 1, total: 2, active: Some("b") }));
        todos.write(vec![todo("a", TodoState::Done)]);
        assert_eq!(todos.progress(), Some(Progress { done: 1, total: 1, active: None }));
        todos.write(Vec::new());
        assert_eq!(todos.progress(), None);
    }

    #[test]
    fn tasks_are_created_updated_and_deleted_by_their_ids() {
        let mut todos = Todos::default();
        for (call, text, id) in [("c1", "write", "1"), ("c2", "test", "2")] {
            todos.change(call, Task::Created { text: text.to_owned() });
            todos.created(call, || Some(id.to_owned()));
        }
        let update =
            |id: &str, state| Task::Updated { id: id.to_owned(), text: None, state: Some(state) };
        todos.change("c3", update("2", TodoState::Active));
        assert_eq!(todos.progress(), Some(Progress { done: 0, total: 2, active: Some("test") }));
        todos.change("c4", update("2", TodoState::Done));
        todos.change("c5", update("1", TodoState::Deleted));
        todos.change("c6", update("7", TodoState::Done));
        assert_eq!(todos.progress(), Some(Progress { done: 1, total: 1, active: None }));
    }
}
