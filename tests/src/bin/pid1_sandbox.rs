//! Makes PID 1 of a namespace; see [`earlykmsg_tests::pid1_sandbox`].

fn main() {
    earlykmsg_tests::pid1_sandbox::enter_if_asked();
    eprintln!("the tests start this program with a boot to make");
}
