variable "subscription_id" {
  type        = string
  description = "The Azure subscription"
}

variable "location" {
  type        = string
  description = "The Azure region"
}

variable "resource_group" {
  type        = string
  description = "The resource group that everything here goes into"
}

variable "subnet_id" {
  type        = string
  description = "The subnet of the machine"
}

variable "key_vault_id" {
  type        = string
  description = "A Key Vault with RBAC, for the join token"
}

variable "size" {
  type        = string
  default     = "Standard_D2s_v5"
  description = "The size of the machine"
}

variable "operator_ssh_key" {
  type        = string
  description = "The public key with which operators log in, from inside the network"
}

variable "peer_networks" {
  type        = list(string)
  description = "The networks from which peers connect, as in 10.20.0.0/16"
}

variable "service" {
  type        = string
  description = "The service that the sidecar stands beside, as in ehr"
}

variable "trust_domain" {
  type        = string
  description = "The trust domain, as in hospital.example"
}

variable "peer" {
  type        = string
  description = "The service that is let in, by its name in the trust domain, as in billing"
}

variable "est_url" {
  type        = string
  description = "The EST server, as in https://ca.hospital.example:8444/.well-known/est"
}

variable "est_fingerprint" {
  type        = string
  description = "The SHA-256 of its authority's certificate, as in sha256:9f86…"
}

variable "package_url" {
  type        = string
  description = "Where the Debian package is, by https"

  validation {
    condition     = startswith(var.package_url, "https://")
    error_message = "The package comes by https only."
  }
}

variable "package_sha256" {
  type        = string
  description = "The SHA-256 of the Debian package; any other is not installed"

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.package_sha256))
    error_message = "A SHA-256 is 64 hexadecimal digits, in lower case."
  }
}

variable "join_token" {
  type        = string
  ephemeral   = true
  sensitive   = true
  description = "The join token of `myelin ca token`; kept in no plan and no state"
}

variable "join_token_version" {
  type        = number
  default     = 1
  description = "One more for each new token: that it changed cannot be seen otherwise"
}
