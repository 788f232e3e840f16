fn main() {
    for path in std::env::args().skip(1) {
        match tadpool::import::import_file(path.as_ref()) {
            Err(error) => println!("{error}"),
            Ok(imported) => {
                let m = &imported.model;
                println!("{path}: {} layers {} macs {}", m.layers.len(), m.macs(), m.layers.iter().map(|l| l.name.clone()).collect::<Vec<_>>().join(" "));
                let r = tadpool::reference::Reference::new(&imported.bytes, m.input);
                let r = match r { Ok(r) => r, Err(e) => { println!("  {e}"); continue } };
                let mut s = 12345u32;
                let images: Vec<Vec<f32>> = (0..8).map(|_| (0..m.input.elements()).map(|_| { s = s.wrapping_mul(1664525).wrapping_add(1013904223); (s >> 8) as f32 / (1 << 23) as f32 * 2.0 - 2.0 }).collect()).collect();
                println!("  {:?}", tadpool::reference::compare(m, &r, &images, 1e-3));
                let t = std::time::Instant::now();
                let n = 40;
                for i in 0..n { std::hint::black_box(tadpool::float::run(m, &images[i % 8], |_| {})); }
                println!("  {:.1} images/s", n as f64 / t.elapsed().as_secs_f64());
            }
        }
    }
}
