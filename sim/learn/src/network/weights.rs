//! Network weights as named tensors, as checkpoints hold them, and their validation. Rule: "Checkpoints".

use super::Shape;

/// A named tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Such as `fc1.weight`.
    pub name: String,
    /// Such as `[128, 70]`: outputs, then inputs, as PyTorch stores a linear layer.
    pub shape: Vec<usize>,
    /// The values; as many as the shape says.
    pub values: Vec<f32>,
}

/// All weights of a network: `weight` and `bias` of `fc1`, `fc2`, `policy` and `value`, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// In the order of [`Weights::names`].
    pub tensors: Vec<NamedTensor>,
}

/// Why tensors are not the weights of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// A tensor is missing.
    #[error("`{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor that this network does not have.
    #[error("`{name}` is not a weight of this network")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A tensor of another shape.
    #[error("`{name}` has the shape {found:?}; this network needs {wanted:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The expected shape.
        wanted: Vec<usize>,
    },
    /// The values do not fill the shape.
    #[error("`{name}` has {found} values; its shape needs {wanted}")]
    Length {
        /// Its name.
        name: String,
        /// Its number of values.
        found: usize,
        /// The expected number.
        wanted: usize,
    },
    /// A value is infinite or NaN.
    #[error("`{name}` holds {value} at place {place}; every weight must be finite")]
    NotFinite {
        /// Its name.
        name: String,
        /// Index of the value.
        place: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A value is negative that must not be.
    #[error("`{name}` holds {value} at place {place}; it must not be negative")]
    Negative {
        /// Its name.
        name: String,
        /// Index of the value.
        place: usize,
        /// The value.
        value: String,
    },
}

impl Weights {
    /// Names and shapes of a network's tensors, in their order.
    pub fn names(shape: &Shape) -> Vec<(String, Vec<usize>)> {
        let layers = shape.layers().into_iter();
        layers
            .flat_map(|(name, inputs, outputs)| {
                [(format!("{name}.weight"), vec![outputs, inputs]), (format!("{name}.bias"), vec![outputs])]
            })
            .collect()
    }

    /// Zero weights of this shape.
    pub fn zeros(shape: &Shape) -> Self {
        let tensors = Self::names(shape).into_iter();
        let zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
        Self { tensors: tensors.map(|(name, shape)| NamedTensor { values: zeros(&shape), name, shape }).collect() }
    }

    /// Picks the weights of a network of this shape out of `tensors`, which may come in any order.
    ///
    /// # Errors
    /// A tensor that is missing, unknown, of another shape or length, or not finite, by name.
    pub fn read(shape: &Shape, mut tensors: Vec<NamedTensor>) -> Result<Self, WeightsError> {
        let mut found = Vec::new();
        for (name, wanted) in Self::names(shape) {
            let Some(place) = tensors.iter().position(|tensor| tensor.name == name) else {
                return Err(WeightsError::Missing { name });
            };
            let tensor = tensors.swap_remove(place);
            if tensor.shape != wanted {
                return Err(WeightsError::Shape { name, found: tensor.shape, wanted });
            }
            found.push(tensor);
        }
        if let Some(tensor) = tensors.into_iter().next() {
            return Err(WeightsError::Unknown { name: tensor.name });
        }
        let weights = Self { tensors: found };
        weights.check(shape)?;
        Ok(weights)
    }

    /// Checks that these are finite weights of this shape.
    ///
    /// # Errors
    /// The first invalid tensor by name.
    pub fn check(&self, shape: &Shape) -> Result<(), WeightsError> {
        let names = Self::names(shape);
        for (place, (name, wanted)) in names.iter().enumerate() {
            let Some(tensor) = self.tensors.get(place).filter(|tensor| tensor.name == *name) else {
                return Err(WeightsError::Missing { name: name.clone() });
            };
            if tensor.shape != *wanted {
                let (name, found) = (name.clone(), tensor.shape.clone());
                return Err(WeightsError::Shape { name, found, wanted: wanted.clone() });
            }
            tensor.check()?;
        }
        match self.tensors.get(names.len()) {
            Some(tensor) => Err(WeightsError::Unknown { name: tensor.name.clone() }),
            None => Ok(()),
        }
    }

    /// The shape that the tensors have; `None` when the layers do not fit together.
    pub fn shape(&self) -> Option<Shape> {
        let of = |name: &str| self.tensors.iter().find(|tensor| tensor.name == name)?.shape.get(..2);
        let (first, second, policy) = (of("fc1.weight")?, of("fc2.weight")?, of("policy.weight")?);
        let shape = Shape { observation: first[1], hidden: [first[0], second[0]], options: policy[0] };
        let fits = shape.options <= Shape::MOST_OPTIONS
            && Self::names(&shape).iter().all(|(name, wanted)| {
                self.tensors.iter().any(|tensor| tensor.name == *name && tensor.shape == *wanted)
            });
        fits.then_some(shape)
    }

    /// The values of a tensor that every network has.
    pub(super) fn values(&self, name: &str) -> &[f32] {
        &self.tensor(name).expect("every network has this tensor").values
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

impl NamedTensor {
    /// Checks that the values fill the shape and are finite.
    ///
    /// # Errors
    /// The problem, with the tensor's name.
    pub fn check(&self) -> Result<(), WeightsError> {
        let (found, wanted) = (self.values.len(), self.shape.iter().product());
        if found != wanted {
            return Err(WeightsError::Length { name: self.name.clone(), found, wanted });
        }
        match self.values.iter().position(|value| !value.is_finite()) {
            Some(place) => {
                Err(WeightsError::NotFinite { name: self.name.clone(), place, value: self.values[place].to_string() })
            }
            None => Ok(()),
        }
    }
}
