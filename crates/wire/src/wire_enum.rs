//! Enumerations of the model.

/// What the generic code needs of an enumeration. The same is inherent in each of them.
pub(crate) trait WireEnum: Copy + 'static {
    /// The texts in the model's order, for messages.
    const VALUES: &'static [&'static str];

    fn from_text(text: &str) -> Option<Self>;
}

/// Declares an enumeration whose values are texts on the wire. Values and their order come from the model.
macro_rules! wire_enum {
    ($name:ident { $($variant:ident = $text:literal,)+ }) => {
        #[doc = concat!("`", stringify!($name), "` of the model.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($variant,)+
        }

        impl $name {
            /// Every value, in the model's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The text on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The value that `text` stands for; case matters.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::strongroom_types::LogSafe for $name {}

        impl $crate::encode::Encode for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $crate::encode::write_name(self.as_str(), out);
            }

            fn size(&self) -> usize {
                self.as_str().len() + 2
            }
        }

        impl $crate::wire_enum::WireEnum for $name {
            const VALUES: &'static [&'static str] = &[$($text,)+];

            fn from_text(text: &str) -> Option<Self> {
                Self::parse(text)
            }
        }
    };
}

pub(crate) use wire_enum;

#[cfg(test)]
mod tests {
    use crate::{KeySpec, ResourceOwnerType};

    #[test]
    fn unknown_texts_and_other_cases_are_refused() {
        for text in ["", "rsa_2048", "RSA_2048 ", "RSA_1024"] {
            assert_eq!(KeySpec::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_value_is_found_by_its_text() {
        for value in KeySpec::ALL {
            assert_eq!(KeySpec::parse(value.as_str()), Some(*value));
            assert_eq!(value.to_string(), value.as_str());
        }
        assert_eq!(ResourceOwnerType::Own.as_str(), "SELF");
    }
}
