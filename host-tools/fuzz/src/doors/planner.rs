//! The planner's problems: CSV files, and problems made from any bytes.

const FULL: &str = "\
id,lower,upper,size,alignment,region,fixed_offset,alias,overlap,after,apart,offset
a,0,4,16,8,r0,,,,,,0
b,1,5,24,4,,,a,,,,
c,2,6,8,1,r0 r1,,,a:4,,b,
d,5,9,40,,,,,,c,,
";

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let plain = "id,lower,upper,size\nx,0,10,100\ny,5,15,200\nz,12,20,300\n";
    let named = "buffer_id,start,end,size,gaps,hint\n0,0,9,64,,3\n1,3,7,32,,0\n";
    [plain, named, FULL]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

pub(super) fn problem_seeds() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut seed = |length| -> Vec<u8> { (0..length).map(|_| random.u8(..)).collect() };
    vec![Vec::new(), seed(8), seed(40), seed(120)]
}
