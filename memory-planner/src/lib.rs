//! Places buffers in static memory regions.
