//! Makes sure that the wall's folder is there, so that its place is known even if the wall is built later,
//! and that a wall that was built anew gets into the program.

fn main() {
    let wall = "../../src-ui/dist";
    if let Err(error) = std::fs::create_dir_all(wall) {
        println!("cargo::warning=the wall's folder {wall} cannot be made: {error}");
    }
    println!("cargo::rerun-if-changed={wall}");
}
