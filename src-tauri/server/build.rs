//! Makes sure that the folders of the wall and of the phone's page are there, so that their place is known even
//! if they are built later, and that pages that were built anew get into the program.

fn main() {
    for folder in ["../../src-ui/dist", "../../mobile/web/dist"] {
        if let Err(error) = std::fs::create_dir_all(folder) {
            println!("cargo::warning=the folder {folder} of a page cannot be made: {error}");
        }
        println!("cargo::rerun-if-changed={folder}");
    }
}
