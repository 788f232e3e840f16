//! Lists of fields, for `visit`.

/// Lists a struct's fields in the order of generated source; the compiler tells of one
/// that is missing. Behind a matrix stand its outputs and how it is packed.
macro_rules! fields {
    (step $($rest:tt)+) => {
        fields!(@impl $($rest)+);
    };
    (part $module:ident :: $name:ident $(<$life:lifetime>)? : $($rest:tt)+) => {
        fields!(@impl $module :: $name $(<$life>)? : $($rest)+);
        fields!(@as Part $name $(<$life>)?);
    };
    (layer $module:ident :: $name:ident $(<$life:lifetime>)? : $($rest:tt)+) => {
        fields!(@impl $module :: $name $(<$life>)? : $($rest)+);
        fields!(@as Layer $name $(<$life>)?);
    };
    (@impl $module:ident :: $name:ident $(<$life:lifetime>)? :
        $($field:ident $([$outputs:expr, $packing:ident])?),+ $(,)?) => {
        #[cfg(feature = "visit")]
        impl crate::visit::Fields for $name $(<$life>)? {
            fn module(&self) -> &'static str {
                stringify!($module)
            }

            fn name(&self) -> &'static str {
                stringify!($name)
            }

            fn visit(&self, visitor: &mut dyn crate::visit::Visitor) {
                // Has all of them.
                let Self { $($field: _),+ } = self;
                $(fields!(@field self visitor $field $([$outputs, $packing])?);)+
            }
        }
    };
    (@as $kind:ident $name:ident $(<$life:lifetime>)?) => {
        #[cfg(feature = "visit")]
        impl crate::visit::AsField for $name $(<$life>)? {
            fn field(&self) -> crate::visit::Field<'_> {
                crate::visit::Field::$kind(self)
            }
        }
    };
    (@field $this:ident $visitor:ident $field:ident) => {
        $visitor.field(
            stringify!($field),
            crate::visit::AsField::field(&$this.$field),
        )
    };
    (@field $this:ident $visitor:ident $field:ident [$outputs:expr, $packing:ident]) => {{
        fn outputs<T>(step: &T, outputs: fn(&T) -> usize) -> usize {
            outputs(step)
        }
        let matrix = crate::visit::Matrix {
            weights: $this.$field,
            outputs: outputs($this, $outputs),
            packing: crate::visit::Packing::$packing,
        };
        $visitor.field(stringify!($field), crate::visit::Field::Matrix(matrix))
    }};
}

/// Lists an enum's variants, none of which has fields.
macro_rules! variants {
    ($module:ident :: $name:ident : $($variant:ident),+) => {
        #[cfg(feature = "visit")]
        impl crate::visit::AsField for $name {
            fn field(&self) -> crate::visit::Field<'_> {
                crate::visit::Field::Variant(crate::visit::Variant {
                    module: stringify!($module),
                    ty: stringify!($name),
                    name: match self {
                        $(Self::$variant => stringify!($variant)),+
                    },
                })
            }
        }
    };
}
