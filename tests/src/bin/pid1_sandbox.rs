//! Makes PID 1 of a namespace, or traces the program that brings a network up; see [`earlykmsg_tests::pid1_sandbox`] and
//! [`earlykmsg_tests::network_sandbox`].

fn main() {
    earlykmsg_tests::pid1_sandbox::enter_if_asked();
    earlykmsg_tests::network_sandbox::enter_if_asked();
    eprintln!("the tests start this program with a boot to make");
}
