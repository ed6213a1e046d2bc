//! Makes PID 1 of a namespace; see [`earlykmsg_tests::stage`].

fn main() {
    earlykmsg_tests::stage::enter_if_asked();
    eprintln!("the tests start this program with a boot to make");
}
