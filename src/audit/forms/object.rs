//! JSON objects that leave out what is not known.

use serde_json::{Map, Value};

/// An object in the making.
#[derive(Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The same for what may not be known. An empty text is not known.
    pub(super) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value.map(Into::into) {
            None => self,
            Some(Value::String(text)) if text.is_empty() => self,
            Some(value) => self.with(name, value),
        }
    }

    /// Nothing, if there is nothing in it.
    pub(super) fn unless_empty(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

impl From<Map<String, Value>> for Object {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// Appends `object` to `out` on one line.
pub(super) fn write(object: Object, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, &Value::from(object));
    debug_assert!(written.is_ok(), "an object has text and numbers only: {written:?}");
}
