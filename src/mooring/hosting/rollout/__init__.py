"""How an endpoint moves from one config to another: what UpdateEndpoint asks, the plan, and each move of it.

`rules` and `deployments` read a DeploymentConfig, `plans` makes steps of it, `targets` says what should run at any
moment, `updates` begins a rollout, `rollouts` moves it on, and `progress` tells people of it.
"""
