#[path="../tests/support/mod.rs"] mod support;
use memory_planner::*; use support::*; use std::time::Instant;
fn main(){
 let a:Vec<String>=std::env::args().collect();
 let steps:u64=a[2].parse().unwrap();
 if a[1]=="hard" { let mut tot=0.0; for n in HARD { let p=hard(n); let mut b=Budget::steps(steps); if a.len()>3 {b=b.until_it_fits();} let t=Instant::now(); let s=solve(&p,&b); let e=t.elapsed().as_secs_f64(); tot+=e; match s {Ok(s)=>{checker::check(&p,&s.plan).unwrap();println!("{n} {} lb {} {:?} steps {} {:.3}s",s.height(),s.lower_bound(),s.proof,s.steps,e)},Err(x)=>println!("{n} {x} {e:.3}")} } println!("total {tot:.2}"); }
 else { for shape in [Shape::Network,Shape::Uniform,Shape::Aligned] { for n in [1000u32] { let mut gaps=vec![]; let mut times=vec![]; let mut opt=0; for seed in 0..5 { let p=random(shape,n,seed); let t=Instant::now(); let s=solve(&p,&Budget::steps(steps)).unwrap(); times.push(t.elapsed().as_secs_f64()*1e3); let lb=lower_bound(&p).unwrap()[0]; gaps.push((s.height() as f64/lb as f64-1.0)*100.0); if s.proof==Proof::Optimal {opt+=1} } gaps.sort_by(f64::total_cmp); times.sort_by(f64::total_cmp); println!("{shape:?} {n}: gap median {:.2}% max {:.2}% optimal {opt}/11  time median {:.1} max {:.1} ms",gaps[2],gaps[4],times[2],times[4]); } } }
}
