//! Macros that define a mapping or a choice of words together with its decoder and its schema.

/// A mapping with known keys. Each field has a documentation line `Title: prose.`, a type, and
/// then `= default` unless it is required, `within low..=high` for bounds, `=> later` when it is
/// part of the schema and not supported yet. `as "key"` names the key where it is no Rust name.
/// `(short "key")` after the type's name: a value that is no mapping stands for that key.
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        $(#[derive($derive:ident)])?
        pub struct $name:ident $((short $short:literal))? {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident $(as $key:literal)? : $type:ty
                    $(= $default:expr)? $(, within $low:literal..=$high:expr)? $(=> $later:ident)? ;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize $(, $derive)?)]
        pub struct $name {
            $( $(#[doc = $field_doc])* $(#[serde(rename = $key)])? pub $field: $type, )*
        }

        impl $name {
            pub(crate) const KEYS: &'static [&'static str] =
                &[$( $crate::shape::record!(@key $field $($key)?) ),*];

            /// Takes this record's keys out of a mapping that may hold others.
            pub(crate) fn take(
                fields: &mut $crate::shape::Fields<'_>,
                reader: &mut $crate::shape::Reader,
            ) -> Option<Self> {
                $(
                    let $field: Option<$type> = {
                        let key = $crate::shape::record!(@key $field $($key)?);
                        let value = $crate::shape::record!(@read fields reader key $type $(, $default)?);
                        $( let value = fields.within(key, value, f64::from($low)..=f64::from($high), reader); )?
                        $( fields.$later(key, reader); )?
                        $crate::shape::record!(@or value $(, $default)?)
                    };
                )*
                Some(Self { $( $field: $field?, )* })
            }

            pub(crate) fn properties(
                definitions: &mut $crate::shape::Definitions,
            ) -> (serde_json::Map<String, serde_json::Value>, Vec<&'static str>) {
                let mut properties = serde_json::Map::new();
                #[allow(unused_mut, reason = "a record may have no required key")]
                let mut required = Vec::new();
                $(
                    let key = $crate::shape::record!(@key $field $($key)?);
                    #[allow(unused_mut, reason = "only a field with bounds is changed")]
                    let mut schema = <$type as $crate::shape::Shape>::schema(definitions);
                    $( $crate::shape::bounds(&mut schema, f64::from($low), f64::from($high)); )?
                    let doc = concat!($($field_doc, "\n",)* $crate::shape::record!(@note $($later)?));
                    properties.insert(key.to_owned(), $crate::shape::document(schema, doc));
                    $crate::shape::record!(@required required key $(, $default)?);
                )*
                (properties, required)
            }
        }

        impl $crate::shape::Shape for $name {
            fn decode(
                node: &$crate::tree::Node,
                reader: &mut $crate::shape::Reader,
            ) -> Option<Self> {
                $(
                    if let Some(wrapped) = $crate::shape::wrap(node, $short) {
                        return <Self as $crate::shape::Shape>::decode(&wrapped, reader);
                    }
                )?
                let mut fields = $crate::shape::Fields::open(node, reader, "a mapping")?;
                let value = Self::take(&mut fields, reader);
                fields.close(Self::KEYS, reader);
                value
            }

            fn schema(definitions: &mut $crate::shape::Definitions) -> serde_json::Value {
                definitions.refer(stringify!($name), |definitions| {
                    let (properties, required) = Self::properties(definitions);
                    #[allow(unused_mut, reason = "only a record with a short form is changed")]
                    let mut schema = $crate::shape::object(properties, &required, true);
                    $(
                        let short = schema["properties"][$short].clone();
                        schema = serde_json::json!({"anyOf": [schema, short]});
                    )?
                    $crate::shape::document(schema, concat!($($doc, "\n"),*))
                })
            }
        }
    };

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@read $fields:ident $reader:ident $key:ident $type:ty) => { $fields.required::<$type>($key, $reader) };
    (@read $fields:ident $reader:ident $key:ident $type:ty, $default:expr) => { $fields.optional::<$type>($key, $reader) };
    (@or $value:ident) => { $value };
    (@or $value:ident, $default:expr) => { Some($value.unwrap_or_else(|| $default)) };
    (@later_word $word:literal) => { "" };
    (@later_word $word:literal later) => { $word };
    (@note) => { "" };
    (@note later) => { " Not supported yet." };
    (@required $required:ident $key:ident) => { $required.push($key); };
    (@required $required:ident $key:ident, $default:expr) => {};
}

/// A word out of a list. A variant marked `=> later` is part of the schema and not supported yet.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $( $(#[doc = $variant_doc:literal])* $variant:ident = $word:literal $(=> $later:ident)? ; )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
        pub enum $name {
            $( $(#[doc = $variant_doc])* #[serde(rename = $word)] $variant, )*
        }

        impl $crate::shape::Shape for $name {
            fn decode(
                node: &$crate::tree::Node,
                reader: &mut $crate::shape::Reader,
            ) -> Option<Self> {
                let word = $crate::shape::variants(node, &[$($word),*], reader)?;
                let later: &[&str] = &[$( $crate::shape::record!(@later_word $word $($later)?) ),*];
                if later.contains(&word) {
                    reader.unsupported(node.span, word);
                }
                match word { $( $word => Some(Self::$variant), )* _ => None }
            }

            fn schema(definitions: &mut $crate::shape::Definitions) -> serde_json::Value {
                definitions.refer(stringify!($name), |_| {
                    $crate::shape::words(
                        concat!($($doc, "\n"),*),
                        &[$( ($word, concat!($($variant_doc),*)) ),*],
                    )
                })
            }
        }
    };
}

pub(crate) use choice;
pub(crate) use record;
