mod common;
mod crash;
mod damage;
mod failure;
mod flow;
mod surveys;
